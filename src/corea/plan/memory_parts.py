"""Memory of one GPU in training, by part and by phase of a step. Formulas and sources: docs/scale.md.

Legend: P parameters, T trained parameters (P, or those of the adapters), N GPUs. Sizes are in bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from corea.model_shape import ModelShape

BUCKET = 500_000_000
"""Gradient elements that DeepSpeed reduces at a time (reduce_bucket_size)."""
LIVE = 1_000_000_000
"""Parameters that DeepSpeed keeps gathered at most under ZeRO-3 (stage3_max_live_parameters)."""
CHUNK_LOGITS = 1 << 24
"""Logits of a chunk of the update (corea.rl.update.output_layer)."""
PIECE_TOKENS = 8192
"""Prompt tokens of one forward pass of engine=hf (corea.engines.local.decode)."""
TREE_TOKENS = 1024
"""Tokens of a tree at most (corea.rl.update.batching)."""
FIRST_ROOM = 64
"""New tokens that the cache of engine=hf holds at first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What the memory and the time of a step depend on."""

    shape: ModelShape
    """The model."""
    gpus: int
    """N"""
    on_cpu: bool
    """Whether the processes run on a CPU, where a buffer that is not filled takes no memory."""
    item: int
    """Bytes of a weight: 2 (bfloat16, float16) or 4."""
    stage: int
    """ZeRO stage."""
    offload: bool
    """Optimizer state (stage 3: and weights) in CPU memory."""
    recompute: bool
    """Activations are computed again in the backward pass."""
    rank: int
    """Rank of the adapters; 0: all weights are trained."""
    reference: bool
    """Whether the loss has a KL term."""
    budget: int
    """Tokens of a micro-batch."""
    trees: bool
    """Whether completions share their prompt under a mask, which every layer keeps in the format of its weights."""
    questions: int
    """Questions of a step, of all GPUs together."""
    group: int
    """Completions per question."""
    prompt: int
    """Longest prompt, tokens."""
    completion: int
    """Longest completion, tokens."""
    engine: str
    """hf, vllm, or another name for an engine outside these GPUs."""
    rows: int
    """Completions that a replica of the engine decodes together at most."""
    engine_bytes: float
    """Memory that vLLM takes: engine.gpu_share of the GPU."""
    sleeps: bool
    """Whether vLLM releases it during the update."""

    @property
    def trained(self) -> int:
        """T"""
        return self.shape.adapter_parameters(self.rank) if self.rank else self.shape.parameters

    @property
    def own_questions(self) -> int:
        """Questions of a step of the GPU that has the most, for which the others wait."""
        return -(-self.questions // self.gpus)

    @property
    def own_rows(self) -> int:
        """Completions of this GPU that engine=hf decodes together: whole groups, at least one."""
        return min(self.own_questions, max(1, self.rows // self.group)) * self.group


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Bytes of one GPU, part -> bytes, in the three phases whose peaks differ."""

    parts: Mapping[str, Mapping[str, float]]
    """Phase (rollout, backward, step) -> part -> bytes."""
    cpu: float = 0.0
    """Bytes of CPU memory per GPU that offloading takes."""

    def total(self, phase: str) -> float:
        """Bytes in a phase."""
        return sum(self.parts[phase].values())

    @property
    def rollout(self) -> float:
        """Peak while completions are sampled."""
        return self.total("rollout")

    @property
    def update(self) -> float:
        """Peak of the update: backward pass or optimizer step."""
        return max(self.total("backward"), self.total("step"))

    @property
    def peak(self) -> float:
        """Peak of a training step."""
        return max(self.rollout, self.update)


def memory_of(s: Setting) -> Memory:
    """The memory of a setting."""
    always = {
        "weights": _weights(s),
        "optimizer": _optimizer(s),
        "reference": _reference(s),
    }
    asleep = {} if s.sleeps else {"engine": s.engine_bytes}
    gathered = min(s.shape.parameters, LIVE) * s.item if s.stage == 3 else 0.0
    backward = {
        **always,
        "gathered weights": gathered,
        "gradients": _gradients(s),
        "activations": _activations(s),
        "logits, or one layer": _in_work(s),
        **asleep,
    }
    step = {**always, "gradients": _gradients_of_step(s), "workspace of the optimizer": _workspace(s), **asleep}
    offloaded = 12.0 * s.trained / s.gpus if s.offload else 0.0
    if s.offload and s.stage == 3:
        offloaded += s.item * s.shape.parameters / s.gpus
    return Memory(parts={"rollout": {**always, **_rollout(s)}, "backward": backward, "step": step}, cpu=offloaded)


def _share(s: Setting, stage: int) -> int:
    """Number of parts that something is split into from ZeRO stage `stage` on."""
    return s.gpus if s.stage >= stage else 1


def _weights(s: Setting) -> float:
    if s.offload and s.stage == 3:
        return 0.0
    adapters = s.trained if s.rank else 0
    return s.item * (s.shape.parameters + adapters) / _share(s, 3)


def _optimizer(s: Setting) -> float:
    """Two moments of AdamW and, from stage 1 on, DeepSpeed's master weights, float32 each (4 + 8 bytes)."""
    if s.offload:
        return 0.0
    return (8.0 if s.stage == 0 else 12.0) * s.trained / _share(s, 1)


def _reference(s: Setting) -> float:
    """Adapters that are turned off are the reference of a run with adapters."""
    copied = s.reference and not s.rank
    return s.item * s.shape.parameters / _share(s, 3) if copied else 0.0


def _bucket(s: Setting) -> float:
    """DeepSpeed's buffer of gradients. It is filled after the activations are gone, which matters on a CPU alone."""
    return 0.0 if s.stage == 0 or s.on_cpu else float(BUCKET * s.item)


def _gradients(s: Setting) -> float:
    return s.item * s.trained / _share(s, 2) + _bucket(s)


def _gradients_of_step(s: Setting) -> float:
    """Gradients of this GPU's share, as stored and as flat copy in float32."""
    if s.stage == 0:
        return 4.0 * s.trained
    if s.offload:
        return 2.0 * s.item * s.trained / _share(s, 2)
    return (s.item + 4.0) * s.trained / s.gpus


def _workspace(s: Setting) -> float:
    """AdamW's intermediate results: two float32 numbers per parameter."""
    return 0.0 if s.offload else 8.0 * s.trained / _share(s, 1)


def layer_activations(shape: ModelShape, item: int, rank: int = 0) -> float:
    """Bytes per token that one layer keeps for its backward pass, without recomputation (docs/scale.md counts them).

    A norm keeps its input (in float32), the normalised input, and its output. With adapters of rank `rank`, the weights
    of norms are frozen and need no normalised input, and each of the seven linear layers keeps `rank` numbers more.
    """
    norms = 2 * ((2 if rank else 3) * shape.hidden * item + (2 * shape.hidden if item == 2 else 0))
    attention = (4 * shape.attention) * item
    return norms + attention + (4 * shape.feed_forward + 7 * rank) * item


def layer_workspace(shape: ModelShape, item: int) -> float:
    """Bytes per token of the gradients inside one layer while it is differentiated."""
    return (3 * shape.feed_forward + 3 * shape.hidden) * item


def _tokens(s: Setting) -> int:
    """A tree is never cut, so a micro-batch has at least the tokens of one completion."""
    return max(s.budget, s.prompt + s.completion)


def _layer(s: Setting) -> float:
    """Bytes per token that a layer keeps, with its copy of the mask of trees."""
    tree = min(s.budget, TREE_TOKENS, s.prompt + s.group * (s.completion - 1))
    return layer_activations(s.shape, s.item, s.rank) + (tree * s.item if s.trees else 0)


def _activations(s: Setting) -> float:
    """What all layers keep (recomputed: their inputs), and the hidden states around the output layer."""
    kept = s.shape.hidden * s.item if s.recompute else _layer(s)
    return _tokens(s) * (s.shape.layers * kept + 4 * s.shape.hidden * s.item)


def _in_work(s: Setting) -> float:
    """What is differentiated at a time: the output layer, or one layer, which is computed again before if need be."""
    once = _layer(s) if s.recompute else 0.0
    return max(_logits(s), _tokens(s) * (once + layer_workspace(s.shape, s.item)))


def _logits(s: Setting) -> float:
    """One chunk of logits (and its float32 copy), and a gradient of the output layer beside the stored one."""
    most = min(CHUNK_LOGITS, s.budget * s.shape.vocabulary)
    chunk = most * (4 if s.item == 4 else 6 + 4)
    return chunk + (0.0 if s.rank else s.item * s.shape.head_weights)


def cache_columns(prompt: int, completion: int) -> int:
    """Columns of the cache of engine=hf after it has grown, by half each time, to hold a whole row."""
    columns = prompt + min(completion, FIRST_ROOM)
    while columns < prompt + completion - 1:
        columns += max(FIRST_ROOM, columns // 2)
    return columns


def _rollout(s: Setting) -> dict[str, float]:
    if s.engine == "vllm":
        return {"engine": s.engine_bytes}
    if s.engine != "hf":
        return {}
    shape = s.shape
    columns, prompts, shared = cache_columns(s.prompt, s.completion), 0, s.on_cpu and s.group > 1
    if shared:  # a group's rows hold their new tokens, beside one copy of the prompt
        columns, prompts = columns - s.prompt, s.own_rows // s.group * s.prompt
    cache = (s.own_rows * columns * (1 + 1 / shape.layers) + prompts) * shape.cache_bytes(s.item)
    pieces = min(PIECE_TOKENS, s.own_rows // s.group * s.prompt)
    computed = pieces * layer_workspace(shape, s.item)
    return {
        "gathered weights": s.item * shape.parameters if s.stage == 3 else 0.0,
        "KV cache": cache,
        "activations": computed,
        "logits": s.own_rows * shape.vocabulary * (16.0 + s.item),  # log-softmax, its exponential, float64 sums
    }
