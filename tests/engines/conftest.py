"""Random models and their tokenizer."""

import pytest

from corea.sft.tiny_tokenizer import build_tokenizer
from random_models import random_model


@pytest.fixture(scope="session")
def tokenizer():
    return build_tokenizer()


@pytest.fixture(scope="session", params=["llama", "llama_grouped", "qwen2", "sliding", "gemma3"])
def any_model(request, tokenizer):
    return random_model(request.param, tokenizer)


@pytest.fixture(scope="session")
def llama(tokenizer):
    return random_model("llama_grouped", tokenizer)
