"""Sizes of a decoder, from which its parameters and floating-point operations follow. Imports no torch.

Legend: L layers, H hidden size, A width of all attention heads together, K width of all key/value heads together,
F width of the feed-forward layers, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelShape:
    """A decoder with gated feed-forward layers (Llama, Qwen, Gemma, SmolLM)."""

    layers: int
    """L"""
    hidden: int
    """H"""
    heads: int
    """Attention heads of a layer."""
    kv_heads: int
    """Key/value heads of a layer."""
    head_size: int
    """Width of a head."""
    feed_forward: int
    """F"""
    vocabulary: int
    """V"""
    tied: bool
    """Whether the output layer has the weights of the embedding."""
    qkv_bias: bool = False
    """Whether the projections to queries, keys and values have biases (Qwen 2)."""
    head_norms: bool = False
    """Whether queries and keys are normalised (Qwen 3, Gemma 3)."""
    norms: int = 2
    """Norms of a layer of width H."""

    @property
    def attention(self) -> int:
        """A"""
        return self.heads * self.head_size

    @property
    def keys(self) -> int:
        """K"""
        return self.kv_heads * self.head_size

    @property
    def layer_weights(self) -> int:
        """Weights of the matrices of one layer: queries and output, keys and values, feed-forward."""
        return 2 * self.hidden * (self.attention + self.keys) + 3 * self.hidden * self.feed_forward

    @property
    def head_weights(self) -> int:
        """Weights of the output layer, V x H."""
        return self.vocabulary * self.hidden

    @property
    def parameters(self) -> int:
        """All parameters; tied weights count once."""
        vectors = self.norms * self.hidden
        vectors += (self.attention + 2 * self.keys) * self.qkv_bias + 2 * self.head_size * self.head_norms
        ends = self.head_weights * (1 if self.tied else 2) + self.hidden
        return self.layers * (self.layer_weights + vectors) + ends

    def adapter_parameters(self, rank: int) -> int:
        """Parameters of low-rank adapters on every linear layer but the output: rank x (inputs + outputs) each."""
        h, a, k, f = self.hidden, self.attention, self.keys, self.feed_forward
        return self.layers * rank * (2 * (h + a) + 2 * (h + k) + 3 * (h + f))

    def forward_flops(self, *, tokens: float, pairs: float, scored: float) -> float:
        """Floating-point operations of a forward pass, matrix products alone.

        A weight costs 2 operations per token (Kaplan et al., arXiv 2001.08361, section 2.1). A pair of a query and a
        key costs 2 A in the scores and 2 A in the weighted sum of values, in each layer.

        Args:
            tokens: input tokens of the layers.
            pairs: (query, key) pairs that attention lets through; n (n + 1) / 2 for a causal sequence of n tokens.
            scored: tokens whose logits are computed.
        """
        per_layer = 2 * self.layer_weights * tokens + 4 * self.attention * pairs
        return self.layers * per_layer + 2 * self.head_weights * scored

    def cache_bytes(self, item: int) -> int:
        """Bytes of keys and values of one token in all layers, `item` bytes a number."""
        return 2 * self.layers * self.keys * item


def shape_of(config: Any) -> ModelShape:
    """The shape of a transformers configuration.

    Raises:
        AttributeError: it lacks one of the sizes, so it is no such decoder.
    """
    text = config.get_text_config()
    kind = str(text.model_type)
    heads = text.num_attention_heads
    bias = getattr(text, "attention_bias", None)
    return ModelShape(
        layers=text.num_hidden_layers,
        hidden=text.hidden_size,
        heads=heads,
        kv_heads=getattr(text, "num_key_value_heads", None) or heads,
        head_size=getattr(text, "head_dim", None) or text.hidden_size // heads,
        feed_forward=text.intermediate_size,
        vocabulary=text.vocab_size,
        tied=bool(config.tie_word_embeddings),
        qkv_bias=kind == "qwen2" if bias is None else bool(bias),
        head_norms=kind.startswith(("qwen3", "gemma3")),
        norms=4 if kind.startswith("gemma") else 2,
    )


def _shape(
    layers: int, hidden: int, heads: tuple[int, int, int], feed_forward: int, vocabulary: int, tied: bool, **more: Any
) -> ModelShape:
    """`heads`: attention heads, key/value heads, width of a head."""
    return ModelShape(
        layers=layers,
        hidden=hidden,
        heads=heads[0],
        kv_heads=heads[1],
        head_size=heads[2],
        feed_forward=feed_forward,
        vocabulary=vocabulary,
        tied=tied,
        **more,
    )


_QWEN2 = {"qkv_bias": True}
_QWEN3 = {"head_norms": True}
_GEMMA = {"head_norms": True, "norms": 4}
SHAPES = {
    "google/gemma-3-270m-it": _shape(18, 640, (4, 1, 256), 2048, 262_144, True, **_GEMMA),
    "google/gemma-3-1b-it": _shape(26, 1152, (4, 1, 256), 6912, 262_144, True, **_GEMMA),
    "meta-llama/Llama-3.2-1B-Instruct": _shape(16, 2048, (32, 8, 64), 8192, 128_256, True),
    "meta-llama/Llama-3.2-3B-Instruct": _shape(28, 3072, (24, 8, 128), 8192, 128_256, True),
    "meta-llama/Llama-3.1-8B-Instruct": _shape(32, 4096, (32, 8, 128), 14_336, 128_256, False),
    "Qwen/Qwen2.5-0.5B-Instruct": _shape(24, 896, (14, 2, 64), 4864, 151_936, True, **_QWEN2),
    "Qwen/Qwen2.5-1.5B-Instruct": _shape(28, 1536, (12, 2, 128), 8960, 151_936, True, **_QWEN2),
    "Qwen/Qwen2.5-3B-Instruct": _shape(36, 2048, (16, 2, 128), 11_008, 151_936, True, **_QWEN2),
    "Qwen/Qwen2.5-7B-Instruct": _shape(28, 3584, (28, 4, 128), 18_944, 152_064, False, **_QWEN2),
    "Qwen/Qwen2.5-32B-Instruct": _shape(64, 5120, (40, 8, 128), 27_648, 152_064, False, **_QWEN2),
    "Qwen/Qwen3-0.6B": _shape(28, 1024, (16, 8, 128), 3072, 151_936, True, **_QWEN3),
    "Qwen/Qwen3-1.7B": _shape(28, 2048, (16, 8, 128), 6144, 151_936, True, **_QWEN3),
    "Qwen/Qwen3-4B": _shape(36, 2560, (32, 8, 128), 9728, 151_936, True, **_QWEN3),
    "Qwen/Qwen3-8B": _shape(36, 4096, (32, 8, 128), 12_288, 151_936, False, **_QWEN3),
    "HuggingFaceTB/SmolLM2-135M-Instruct": _shape(30, 576, (9, 3, 64), 1536, 49_152, True),
    "HuggingFaceTB/SmolLM2-360M-Instruct": _shape(32, 960, (15, 5, 64), 2560, 49_152, True),
    "HuggingFaceTB/SmolLM2-1.7B-Instruct": _shape(24, 2048, (32, 32, 64), 8192, 49_152, True),
}
"""Hub id -> shape of the models of conf/model and conf/llm, so that a plan needs no network."""
