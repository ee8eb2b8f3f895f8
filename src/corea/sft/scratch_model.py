"""A model with random weights, for `architecture=`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from corea.config import SftConfig
from corea.engines.loading import pick_device
from corea.sft import broad_tokenizer, tiny_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def scratch_model(cfg: SftConfig) -> PreTrainedModel:
    """A Llama decoder with random weights, and its tokenizer, that of the tiny or of the broad pair."""
    from transformers import LlamaConfig, LlamaForCausalLM

    arch = cfg.architecture
    assert arch is not None
    tokenizer = {"tiny": tiny_tokenizer, "broad": broad_tokenizer}[arch.tokenizer].build_tokenizer()
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=arch.hidden_size,
        intermediate_size=arch.feed_forward,
        num_hidden_layers=arch.layers,
        num_attention_heads=arch.heads,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        rope_theta=10000.0,
    )
    return LlamaForCausalLM(config).to(pick_device(None)), tokenizer
