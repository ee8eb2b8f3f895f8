"""POST /v1/completions of corea.serve: prompts as evaluation harnesses send them."""

import json

import pytest
from test_chat_server import post

pytestmark = pytest.mark.slow  # a server that really runs


def complete(server, **body):
    return post(f"{server.url}/v1/completions", json.dumps({"model": "corea", **body}).encode())


def test_every_prompt_is_a_question_of_its_own(server):
    status, _, reply = complete(server, prompt=["7 sure", "8 unsure"])
    assert status == 200
    assert [(c["index"], c["text"], c["finish_reason"]) for c in reply["choices"]] == [
        (0, "7", "stop"),
        (1, "8", "stop"),
    ]
    assert [c["tier"] for c in reply["corea"]] == [0, 1]
    assert reply["usage"] == {"prompt_tokens": 3 + 23, "completion_tokens": 5 + 15, "total_tokens": 46}


def test_a_single_text_has_a_single_choice(server):
    _, _, reply = complete(server, prompt="7 sure", max_tokens=10_000, seed=3)
    assert [c["text"] for c in reply["choices"]] == ["7"]
    assert reply["corea"]["reason"] == "kept"
    assert reply["object"] == "text_completion"


def test_stop_sequences_cut_the_answer_that_stands(server):
    _, _, reply = complete(server, prompt="7.25 sure", stop=["5", "2"])
    assert reply["choices"][0]["text"] == "7."
    assert reply["corea"]["confidence"] == 0.9


@pytest.mark.parametrize(
    ("body", "param", "words"),
    [
        ({"prompt": [[1, 2, 3]]}, "prompt", "tokenized_requests=False"),
        ({"prompt": [1, 2, 3]}, "prompt", "tokenized_requests=False"),
        ({"prompt": []}, "prompt", "a list of texts"),
        ({"prompt": "7 sure", "echo": True, "logprobs": 1}, "echo", "generate_until"),
        ({"prompt": "7 sure", "logprobs": 1}, "logprobs", "generate_until"),
        ({"prompt": "7 sure", "stream": True}, "stream", "/v1/chat/completions"),
        ({"prompt": "7 sure", "stop": 3}, "stop", "a text or a list"),
        ({"prompt": "7 sure", "model": "other"}, "model", "there is no such model"),
    ],
)
def test_what_a_cascade_cannot_serve_is_refused_in_words(server, body, param, words):
    status, _, reply = complete(server, **body)
    assert (status, reply["error"]["param"]) == (400, param)
    assert words in reply["error"]["message"]


def test_other_sampling_is_refused_as_for_chat_completions(server):
    status, _, reply = complete(server, prompt=["7 sure", "8 sure"], temperature=1.5)
    assert (status, reply["error"]["code"]) == (400, "uncalibrated")
    assert "another temperature" in reply["error"]["message"]
