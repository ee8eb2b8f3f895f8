"""The same loss, gradients and advantages as TRL's GRPOTrainer on its own rollouts, over whole optimizer steps.

TRL runs for real: it samples, rewards, splits into two micro-batches and updates twice on the batch, so that the second
update has ratios other than 1. Runs where trl is installed: pip install 'corea[bench]'.
"""

import pytest
import torch

from rl_models import trl_config

trl = pytest.importorskip("trl")

from datasets import Dataset  # noqa: E402
from transformers import TrainerCallback  # noqa: E402

from corea.config import LossConfig  # noqa: E402
from corea.engines.loading import load_model  # noqa: E402
from corea.rl.rollout.advantage import advantages  # noqa: E402
from corea.rl.update.batching import Row, micro_batches  # noqa: E402
from corea.rl.update.forward import TokenLogprobs  # noqa: E402
from corea.rl.update.loss import aggregation_weights, policy_loss  # noqa: E402

TYPES = {"grpo": "sequence_mean", "dr_grpo": "constant", "dapo": "token_mean"}
"""loss_type of TRL -> trainer.loss.aggregation"""
GROUP, MAX_TOKENS, TEMPERATURE, KL = 4, 12, 0.8, 0.05


def reward(completions, **_):
    """Anything that differs between completions and is the same whenever it is asked."""
    values = [sum(map(ord, c[0]["content"])) % 7 / 7 for c in completions]
    reward.given.append(values)
    return values


class Recorder(trl.GRPOTrainer):
    """Keeps what each optimizer step was given and what it came to."""

    def __init__(self, **options):
        super().__init__(**options, callbacks=[Callback(self)])
        self.steps = []

    def _compute_loss(self, model, inputs):
        loss = super()._compute_loss(model, inputs)
        self.steps[-1]["inputs"].append({k: v.clone() for k, v in inputs.items() if isinstance(v, torch.Tensor)})
        self.steps[-1]["loss"] += loss.item()
        return loss


class Callback(TrainerCallback):
    def __init__(self, recorder):
        self.recorder = recorder

    def on_step_begin(self, args, state, control, model=None, **_):
        weights = {k: v.clone() for k, v in model.state_dict().items()}
        self.recorder.steps.append({"weights": weights, "inputs": [], "loss": 0.0})

    def on_pre_optimizer_step(self, args, state, control, model=None, **_):
        self.recorder.steps[-1]["gradients"] = {n: p.grad.clone() for n, p in model.named_parameters()}


@pytest.fixture(scope="module", params=[("grpo", False), ("dr_grpo", False), ("dapo", False), ("dapo", True)])
def recorded(request, tmp_path_factory):
    """(loss type, whether the KL is weighted by the ratio, optimizer steps of TRL, rewards it was given)"""
    kind, kl_importance = request.param
    torch.manual_seed(0)
    model, tokenizer = load_model("package:tiny_slm")
    prompts = [f"State the final answer to the following arithmetic problem: {a} + {a + 3} =" for a in range(4)]
    reward.given = []
    args = trl_config(
        trl,
        tmp_path_factory.mktemp("trl"),
        loss_type=kind,
        scale_rewards="none" if kind == "dr_grpo" else "group",
        num_generations=GROUP,
        gradient_accumulation_steps=2,
        num_iterations=2,
        max_completion_length=MAX_TOKENS,
        temperature=TEMPERATURE,
        beta=KL,
        use_bias_correction_kl=kl_importance,
        epsilon=0.02,
        epsilon_high=0.04,
        learning_rate=2e-4,
        lr_scheduler_type="constant",
        max_grad_norm=1e9,
    )
    data = Dataset.from_dict({"prompt": [[{"role": "user", "content": p}] for p in prompts]})
    trainer = Recorder(model=model, reward_funcs=reward, args=args, train_dataset=data, processing_class=tokenizer)
    trainer.train()
    return kind, kl_importance, trainer.steps, reward.given


def rows_of_step(step, kind):
    """Our rows of TRL's tensors, with the weights of our aggregation; and what TRL knew beside, by completion."""
    rows, olds, refs = [], {}, {}
    for part in step["inputs"]:
        for k in range(len(part["advantages"])):
            prompt = part["prompt_ids"][k][part["prompt_mask"][k].bool()].tolist()
            mask = part["completion_mask"][k].bool()
            tokens = part["completion_ids"][k][mask].tolist()
            advantage = part["advantages"][k].item()
            rows.append(
                Row(
                    prompt_ids=prompt,
                    token_ids=tokens,
                    rollout_logprobs=[float(len(rows))] * len(tokens),  # unused: marks the row
                    advantages=[advantage] * len(tokens),
                    weight=0.0,
                )
            )
            number = len(rows) - 1
            olds[number] = part["old_per_token_logps"][k][mask] if "old_per_token_logps" in part else None
            refs[number] = part["ref_per_token_logps"][k][mask]
    for row, weight in zip(
        rows, aggregation_weights([len(r.token_ids) for r in rows], TYPES[kind], MAX_TOKENS), strict=True
    ):
        row.weight = weight
    rows.sort(key=lambda r: r.prompt_ids)  # TRL shuffles; we want those of a prompt together
    return rows, olds, refs


def test_loss_and_gradients_of_every_step(recorded):
    kind, kl_importance, steps, _ = recorded
    assert len(steps) == 2
    model, _ = load_model("package:tiny_slm")
    cfg = LossConfig(eps_low=0.02, eps_high=0.04, kl=KL, kl_importance=kl_importance, importance_cap=None)
    moved = False
    for step in steps:
        assert len(step["inputs"]) == 2
        rows, olds, refs = rows_of_step(step, kind)
        model.load_state_dict(step["weights"], strict=False)
        model.zero_grad()
        scored, total = TokenLogprobs(model, TEMPERATURE), 0.0
        for batch in micro_batches(rows, 128, pad=0):
            logprobs = scored(batch)[0]
            numbers = batch.rollout_logprobs.unique_consecutive().int().tolist()
            old = None if olds[0] is None else torch.cat([olds[n] for n in numbers])
            loss, sums = policy_loss(
                logprobs,
                old_logprobs=old,
                rollout_logprobs=logprobs.detach(),
                advantages=batch.advantages,
                weights=batch.weights,
                cfg=cfg,
                ref_logprobs=torch.cat([refs[n] for n in numbers]),
            )
            loss.backward()
            total += loss.item()
            moved = moved or bool(sums["clipped"] > 0)
        assert total == pytest.approx(step["loss"], rel=1e-5, abs=1e-5)
        largest = max(g.abs().max() for g in step["gradients"].values()).item()
        assert largest > 1e-4
        for name, parameter in model.named_parameters():
            torch.testing.assert_close(parameter.grad, step["gradients"][name], rtol=0, atol=1e-5 * max(1.0, largest))
    assert moved  # the second update clipped something, so ratios were tested


def test_advantages(recorded):
    kind, _, steps, given = recorded
    kind = "dr_grpo" if kind == "dr_grpo" else "grpo"
    values = given[0]
    expected = [a for k in range(0, len(values), GROUP) for a in advantages(values[k : k + GROUP], kind)]
    found = [a for part in steps[0]["inputs"] for a in part["advantages"].tolist()]
    assert sorted(found) == pytest.approx(sorted(expected), abs=1e-5)
