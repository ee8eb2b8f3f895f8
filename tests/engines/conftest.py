"""Random models and their tokenizer."""

import pytest
from random_models import random_model

from corea.tasks.tiny_tokenizer import build_tokenizer


@pytest.fixture(scope="session")
def tokenizer():
    return build_tokenizer()


@pytest.fixture(scope="session", params=["llama", "llama_grouped", "qwen2", "sliding", "gemma3"])
def any_model(request, tokenizer):
    return random_model(request.param, tokenizer)


@pytest.fixture(scope="session")
def llama(tokenizer):
    return random_model("llama_grouped", tokenizer)
