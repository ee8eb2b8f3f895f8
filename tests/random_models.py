"""Random models of several architectures, small enough to compute everything twice."""

import torch

PROMPTS = [
    "3 + 4 =",
    "State the final answer to the following arithmetic problem: 34 + 7 - 12 =",
    "Spell this word backward (example: sun -> nus): collaborative",
    "a",
    "How many cats?",
    "b",
    "¿Cuántos gatos hay? 猫 " * 4,
]


def messages(texts):
    return [[{"role": "user", "content": text}] for text in texts]


def random_model(kind: str, tokenizer, **overrides):
    """A model with random weights, sharp enough that its samples differ and with several end-of-sequence tokens."""
    import transformers

    common = {
        "vocab_size": len(tokenizer),
        "hidden_size": 48,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 4,
        "max_position_embeddings": 512,
        "pad_token_id": tokenizer.pad_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "bos_token_id": None,
        "initializer_range": 0.2,
    } | overrides
    kinds = {
        "llama": transformers.LlamaConfig,
        "llama_grouped": lambda **k: transformers.LlamaConfig(**k | {"num_key_value_heads": 2}),
        "qwen2": lambda **k: transformers.Qwen2Config(**k | {"num_key_value_heads": 1}),
        "sliding": lambda **k: transformers.MistralConfig(**k | {"num_key_value_heads": 2, "sliding_window": 8}),
        "gemma3": lambda **k: transformers.Gemma3TextConfig(
            **k | {"num_key_value_heads": 2, "head_dim": 12, "sliding_window": 8, "num_hidden_layers": 6}
        ),
    }
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(kinds[kind](**common), attn_implementation="sdpa").eval()
    model.generation_config.eos_token_id = [tokenizer.eos_token_id, *range(20)]
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    return model
