"""Seconds of a training step by a model of peaks: rollout, reward, update. Formulas and sources: docs/scale.md.

It predicts which setting is faster, and the order of magnitude of the time. The shares of the peaks that are reached
are assumptions of the configuration (`plan.utilisation`, `plan.bandwidth_share`).
"""

from __future__ import annotations

from dataclasses import dataclass

from corea.gpus import Gpu
from corea.plan.memory_parts import Setting

HOST_GBS = 25.0
"""Bandwidth between a GPU and the CPU's memory, one direction, 10^9 bytes per second: what PCIe 4.0 x16 reaches."""
HOST_ADAM_GBS = 100.0
"""Bandwidth of the CPU's memory that the optimizer of one machine reaches, 10^9 bytes per second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What the seconds depend on besides the setting."""

    prompt: float
    """Mean tokens of a prompt."""
    completion: float
    """Mean tokens of a completion."""
    passes: int
    """Passes of the update over a batch (trainer.epochs)."""
    scorings: int
    """Further forward passes over a batch: old and reference log-probabilities."""
    share_prompt: bool
    """Whether the update computes a prompt once for all completions of its group."""
    captured: bool
    """Whether decoding replays captured graphs."""
    replicas: int
    """Copies of the model that decode."""
    replica_gpus: int
    """GPUs of a copy (tensor parallelism)."""
    gradings_per_s: float
    """Answers that a process grades per second."""
    ahead: bool = False
    """Whether the next batch is sampled and graded during the update (trainer.off_policy_steps)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """What a GPU reaches."""

    flops: float
    """Floating-point operations per second."""
    memory: float
    """Bytes per second from its memory."""
    network: float
    """Bytes per second to other GPUs of the training, one direction."""
    launch: float
    """Least seconds per layer of a decoding step without captured graphs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seconds:
    """Seconds of a step by part."""

    rollout: float
    reward: float
    update: float
    ahead: bool = False
    """The update runs beside the two others."""

    @property
    def step(self) -> float:
        """All parts, one after another, or the longer side of two."""
        drawn = self.rollout + self.reward
        return max(drawn, self.update) if self.ahead else drawn + self.update


def rates_of(
    gpu: Gpu,
    peak_tflops: float,
    *,
    gpus: int,
    per_machine: int,
    network_gbs: float,
    utilisation: float,
    bandwidth_share: float,
    launch_ms: float,
) -> Rates:
    """Rates of `gpus` GPUs; those of several machines are bound by the network between them."""
    network = gpu.link_gbs if gpus <= per_machine else min(gpu.link_gbs, network_gbs)
    return Rates(
        flops=peak_tflops * 1e12 * utilisation,
        memory=gpu.bandwidth_gbs * 1e9 * bandwidth_share,
        network=network * 1e9,
        launch=launch_ms / 1000,
    )


def seconds_of(s: Setting, work: Work, rates: Rates) -> Seconds:
    """The seconds of a step."""
    return Seconds(
        rollout=rollout_seconds(s, work, rates),
        reward=s.own_questions * s.group / work.gradings_per_s,
        update=update_seconds(s, work, rates),
        ahead=work.ahead,
    )


def rollout_seconds(s: Setting, work: Work, rates: Rates) -> float:
    """Prompts at the rate of matrix products, then one step per token of the longest completion, or of all completions
    divided by the number that runs together. A step reads the weights and the running rows' keys and values once."""
    answers = -(-s.questions // work.replicas) * s.group
    rows = min(answers, s.rows) if s.rows else answers
    prefill = s.shape.forward_flops(
        tokens=answers / s.group * work.prompt, pairs=answers / s.group * work.prompt**2 / 2, scored=answers / s.group
    )
    waves = -(-answers // rows)
    # vLLM refills a place as soon as it is free; engine=hf decodes a batch until its longest completion ends.
    steps = waves * s.completion if s.engine == "hf" else max(s.completion, answers * work.completion / rows)
    length = work.prompt + work.completion / 2
    read = s.item * s.shape.parameters + rows * length * s.shape.cache_bytes(s.item)
    computed = s.shape.forward_flops(tokens=rows, pairs=rows * length, scored=rows)
    bound = max(read / rates.memory, computed / rates.flops) / work.replica_gpus
    launched = 0.0 if work.captured else s.shape.layers * rates.launch
    gathered = s.item * s.shape.parameters / rates.network if s.stage == 3 and s.engine == "hf" and s.gpus > 1 else 0.0
    return gathered + prefill / rates.flops / work.replica_gpus + steps * max(bound, launched)


def batch_flops(s: Setting, work: Work) -> float:
    """Floating-point operations of one forward pass over all completions of a step."""
    p, c = work.prompt, work.completion
    prompts = 1 if work.share_prompt else s.group
    tokens = s.questions * (prompts * p + s.group * c)
    pairs = s.questions * (prompts * p * p / 2 + s.group * (p * c + c * c / 2))
    return s.shape.forward_flops(tokens=tokens, pairs=pairs, scored=s.questions * s.group * c)


def update_seconds(s: Setting, work: Work, rates: Rates) -> float:
    """Matrix products, or communication where that takes longer, and the optimizer's step."""
    forward = batch_flops(s, work) * s.own_questions / s.questions
    backward = 1 if s.rank else 2  # frozen weights need no gradient
    passes = work.passes * (1 + backward + s.recompute) + work.scorings
    computed = passes * forward / rates.flops
    tokens = s.own_questions * (work.prompt + s.group * work.completion)
    batches = max(1.0, tokens / max(s.budget, s.prompt + s.completion))
    sent = communicated(s, work, batches) / rates.network
    return max(computed, sent) + work.passes * optimizer_seconds(s, rates)


def communicated(s: Setting, work: Work, batches: float) -> float:
    """Bytes that a GPU sends in the update (ZeRO, arXiv 1910.02054, section 7): a ring all-reduce is a reduce-scatter
    and an all-gather of (N - 1) / N of the data each. Stages 2 and 3 reduce the gradients of every micro-batch; stage 3
    also gathers the weights in every forward and backward pass.
    """
    if s.gpus == 1:
        return 0.0
    share = (s.gpus - 1) / s.gpus
    gradients, weights = s.item * s.trained * share, s.item * s.shape.parameters * share
    if s.stage == 0:
        return work.passes * 2 * gradients
    if s.stage == 1:
        return work.passes * (gradients + s.item * s.trained * share)
    if s.stage == 2:
        return work.passes * (batches * gradients + s.item * s.trained * share)
    return batches * (work.passes * (2 * weights + gradients) + work.scorings * weights)


def optimizer_seconds(s: Setting, rates: Rates) -> float:
    """AdamW reads weights, moments and gradients and writes all but the last: 28 bytes per parameter of this GPU.
    Offloaded, it runs at the rate of the CPU's memory, which a machine's GPUs share, and both ways lead over PCIe."""
    own = s.trained / (s.gpus if s.stage else 1)
    if not s.offload:
        return 28 * own / rates.memory
    return 28 * own * min(s.gpus, 8) / (HOST_ADAM_GBS * 1e9) + 2 * s.item * own / (HOST_GBS * 1e9)
