"""A random model and random rows, small enough to compute everything twice."""

from dataclasses import replace

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from corea.config import OptimizerConfig, TrainerConfig
from corea.rl.rollout.stated_number import Choice
from corea.rl.update.batching import Row
from corea.rl.update.loss import policy_loss

VOCAB = 50


def random_llama(seed=0):
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=VOCAB,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=128,
        tie_word_embeddings=True,
        pad_token_id=0,
    )
    model = LlamaForCausalLM(config)
    for parameter in model.parameters():  # far from the near-uniform output of fresh weights
        parameter.data.mul_(4.0 if parameter.ndim > 1 else 1.0)
    return model


def hand_row(prompt, completion):
    """A row with the same figures for every token."""
    count = len(completion)
    return Row(
        prompt_ids=prompt,
        token_ids=completion,
        rollout_logprobs=[-0.5] * count,
        advantages=[1.0] * count,
        weight=0.1,
    )


def random_rows(groups=5, size=6, seed=0):
    """Groups with prompts of 1 to 11 tokens and completions of 1 to 9, with weights that sum to 1 over the tokens."""
    generator = torch.Generator().manual_seed(seed)

    def ids(low, high):
        length = int(torch.randint(low, high, (1,), generator=generator))
        return torch.randint(1, VOCAB, (length,), generator=generator).tolist()

    rows = []
    for _ in range(groups):
        prompt = ids(1, 12)
        for _ in range(size):
            completion = ids(1, 10)
            advantage = float(torch.randn(1, generator=generator))
            rollout = (-torch.rand(len(completion), generator=generator)).tolist()
            rows.append(
                Row(
                    prompt_ids=prompt,
                    token_ids=completion,
                    rollout_logprobs=rollout,
                    advantages=[advantage] * len(completion),
                    weight=0.0,
                )
            )
    tokens = sum(len(r.token_ids) for r in rows)
    for row in rows:
        row.weight = 1 / tokens
    return rows


NUMBER_IDS, GAINS = [3, 11, 20], (0.5, 0.0, 2.0)
"""Tokens that a confidence may consist of, and the reward of each."""


def state_numbers(rows):
    """The last token of each row becomes a confidence whose expected reward is in the loss, instead of an advantage."""
    for row in rows:
        row.advantages = [0.0] * len(row.token_ids)
        row.choices = (Choice(len(row.token_ids) - 1, GAINS),)
    return rows


def add_expected_rewards(model, rows, temperature):
    """Minus the sum over every number token v of p(v) r(v), each v scored alone by the whole model; its gradient is
    added to the model's."""
    total = 0.0
    for row in rows:
        for token, gain in zip(NUMBER_IDS, GAINS, strict=True):
            changed = replace(row, token_ids=[*row.token_ids[:-1], token])
            logprob = plain_logprobs(model, changed, temperature)[-1]
            (-row.weight * gain * logprob.detach().exp() * logprob).backward()
            total -= row.weight * gain * logprob.exp().item()
    return total


def plain_logprobs(model, row, temperature):
    """[T] by the whole model on one unpadded sequence: what everything faster must agree with."""
    ids = torch.tensor([row.prompt_ids + row.token_ids])
    logits = model(input_ids=ids).logits[0, len(row.prompt_ids) - 1 : -1].float() / temperature
    return torch.log_softmax(logits, -1).gather(-1, torch.tensor(row.token_ids)[:, None])[:, 0]


def trainer_config(**changes):
    return TrainerConfig(name="test", optimizer=OptimizerConfig(lr=1e-2, max_grad_norm=0.02), **changes)


def plain_update(model, rows, cfg, steps=2):
    """Loss and gradient row by row without padding, then clipping and AdamW, all by torch."""
    decay = [p for p in model.parameters() if p.ndim >= 2]
    plain = [p for p in model.parameters() if p.ndim < 2]
    optimizer = torch.optim.AdamW([{"params": decay}, {"params": plain}], lr=cfg.optimizer.lr, weight_decay=0.0)
    first = None
    for _ in range(steps):
        optimizer.zero_grad()
        for row in rows:
            logprobs = plain_logprobs(model, row, cfg.temperature)
            count = len(row.token_ids)
            loss, _ = policy_loss(
                logprobs,
                old_logprobs=None,
                rollout_logprobs=torch.tensor(row.rollout_logprobs),
                advantages=torch.tensor(row.advantages),
                weights=torch.full((count,), row.weight),
                cfg=cfg.loss,
            )
            loss.backward()
        first = first or [p.grad.clone() for p in model.parameters()]
        torch.nn.utils.clip_grad_norm_(model.parameters(), cfg.optimizer.max_grad_norm)
        optimizer.step()
    return first


def trl_config(trl, folder, **options):
    """A GRPOConfig of two steps on the CPU, without logger, checkpoints and progress bar."""
    return trl.GRPOConfig(
        output_dir=str(folder),
        per_device_train_batch_size=8,
        max_steps=2,
        report_to="none",
        save_strategy="no",
        disable_tqdm=True,
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        seed=0,
        **options,
    )
