"""What two processes compute together: python two_processes.py FOLDER, started twice by test_processes.py.

Rank 0 leaves results.pt: per ZeRO stage the gradients, the figures of updates, and what the ranks found.
"""

import sys
from pathlib import Path

import torch
from deepspeed.utils import safe_get_full_grad

from corea.config import LossConfig, OptimizerConfig, TrainerConfig
from corea.engines.local.decode import DecodeOptions, decode
from corea.rl.run import distributed
from corea.rl.update import policy, weight_sync
from corea.rl.update.batching import micro_batches
from corea.rl.update.policy import Policy, deepspeed_config
from rl_models import NUMBER_IDS, random_llama, random_rows, state_numbers


class NoTokenizer:
    """Stands where a tokenizer would be saved."""

    def save_pretrained(self, folder):
        """Nothing to save."""


def shares(rows, rank):
    """Unequal: rank 0 has two groups of the five, so that the ranks have different numbers of micro-batches."""
    return rows[:12] if rank == 0 else rows[12:]


def run(stage, folder):
    """Gradients of one batch, two updates, a broken one, and the model as saved and as sampled from."""
    rows = random_rows()
    cfg = TrainerConfig(
        name="test",
        zero_stage=stage,
        optimizer=OptimizerConfig(lr=1e-2, max_grad_norm=0.02),
        loss=LossConfig(kl=0.1 if stage == 0 else 0.0),
    )
    policy = Policy(random_llama(), cfg, pad=0)  # joins the processes
    policy.engine.module.chunk = 7  # completion tokens that pass the output layer at one time
    rank = distributed.rank()
    batches = policy.fill_logprobs(micro_batches(shares(rows, rank), 48, pad=0), old=True)
    for number, batch in enumerate(batches, 1):
        policy.engine.set_gradient_accumulation_boundary(number == len(batches))
        policy._accumulate(batch)
    found = {
        "gradients": [safe_get_full_grad(p).clone() for p in policy.model.parameters()],
        "stated": stated(cfg, rank),
    }
    policy = Policy(random_llama(), cfg, pad=0)
    found["updates"] = [policy.update(policy.fill_logprobs(batches, old=False), lr=1e-2) for _ in range(2)]
    broken = random_rows()
    broken[-1].advantages = [float("nan")] * len(broken[-1].advantages)  # of rank 1 alone
    before = [p.clone() for p in model_weights(policy)]
    found["skipped"] = policy.update(micro_batches(shares(broken, rank), 48, pad=0), lr=1e-2)["skipped"]
    found["unchanged"] = all(torch.equal(a, b) for a, b in zip(before, model_weights(policy), strict=True))
    policy.save_model(folder / f"model-{stage}", NoTokenizer())
    weight_sync.BUCKET = 4000  # elements: the weights of the model are several times as many
    found["handed"] = {name: value.clone() for name, value in weight_sync.trained_weights(policy)}
    with policy.gathered():  # the ranks decode different numbers of tokens
        found["sampled"] = sampled(policy.model.eval(), 3 + 4 * rank)
    if stage in (0, 3):
        found["reference"] = reference(stage, shares(rows, rank))
    found["after"] = policy.update(micro_batches(shares(rows, rank), 48, pad=0), lr=1e-2)["loss"]
    return found


def stated(cfg, rank):
    """Gradients of an expected reward; only rank 0 has tokens that state a confidence."""
    policy = Policy(random_llama(), cfg, pad=0, number_ids=NUMBER_IDS)
    policy.engine.module.chunk = 7
    rows = state_numbers(random_rows())
    for row in rows[12:]:
        row.choices = ()
    batches = policy._pad_to_same_count(micro_batches(shares(rows, rank), 48, pad=0))
    if policy.has_reference:
        batches = policy.fill_logprobs(batches, old=False)
    for number, batch in enumerate(batches, 1):
        policy.engine.set_gradient_accumulation_boundary(number == len(batches))
        policy._accumulate(batch)
    return [safe_get_full_grad(p).clone() for p in policy.model.parameters()]


def split_all(cfg, dtype, *, clip):
    """DeepSpeed's configuration without its threshold below which every rank holds a weight whole, as it holds all
    those of a model of this size."""
    config = deepspeed_config(cfg, dtype, clip=clip)
    if cfg.zero_stage == 3:
        config["zero_optimization"] |= {f"stage3_{kind}_persistence_threshold": 0 for kind in ("param", "model")}
    return config


def reference(stage, rows):
    """(log-probabilities of the reference, share of its weights that this rank holds)"""
    policy = Policy(random_llama(), TrainerConfig(name="test", zero_stage=stage, loss=LossConfig(kl=0.1)), pad=0)
    batches = policy.fill_logprobs(micro_batches(rows, 48, pad=0), old=False)
    parameters = list(policy.reference.parameters())
    held = sum(getattr(p, "ds_tensor", p).numel() for p in parameters)
    whole = sum(getattr(p, "ds_numel", p.numel()) for p in parameters)
    return [b.ref_logprobs.clone() for b in batches], held / whole


def model_weights(policy):
    """All weights, also where each rank holds a part."""
    with policy.gathered():
        return [p.detach().clone() for p in policy.model.parameters()]


def sampled(model, tokens):
    """A greedy continuation of a fixed prompt."""
    options = DecodeOptions(copies=1, limits=[tokens], stop_ids=[], temperature=0.0, noise=None, pad=0)
    return decode(model, [[5, 6, 7]], options)[0].token_ids


def main():
    """All stages in one start: importing takes longer than computing."""
    folder = Path(sys.argv[1])
    torch.set_num_threads(1)
    policy.deepspeed_config = split_all
    results = {}
    for stage in (0, 1, 2, 3):
        results[stage] = distributed_results(run(stage, folder))
    if distributed.rank() == 0:
        torch.save(results, folder / "results.pt")
    distributed.barrier()


def distributed_results(found):
    """[rank 0's, rank 1's]"""
    return distributed.gather(found)


if __name__ == "__main__":
    main()
