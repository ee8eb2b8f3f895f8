"""Replies of random shapes: each is read, or named in one line."""

import random

from corea.engines.remote.attempts import answer_failure, status_failure
from corea.engines.remote.chat_format import answer_text, completion_of, holds_answer
from corea.engines.remote.usage import usage_of

NAMES = ("choices", "message", "content", "text", "finish_reason", "usage", "error", "detail", "code", "prompt_tokens")
LEAVES = (None, True, 0, -1, 1.5, "", "a", "429", "\ud83d", 10**30, [], {})


def random_json(source, depth):
    if depth == 0 or source.random() < 0.2:
        return source.choice(LEAVES)
    if source.random() < 0.4:
        return [random_json(source, depth - 1) for _ in range(source.randrange(3))]
    return {source.choice(NAMES): random_json(source, depth - 1) for _ in range(source.randrange(5))}


def test_no_reply_of_any_shape_crashes_the_reading():
    """Either it holds an answer, which becomes a completion with writable text, or a line says what it holds."""
    source = random.Random(5)
    answers = 0
    for _ in range(20_000):
        made = random_json(source, 4)
        if source.random() < 0.5:
            made = {
                "choices": [{"message": random_json(source, 2)} | {"finish_reason": source.choice(LEAVES)}],
                "usage": made,
            }
        if holds_answer(made):
            completion = completion_of(made, model="m", latency_s=1.0)
            completion.text.encode()
            assert completion.finish_reason in ("stop", "length", "error")
            answers += 1
        else:
            assert answer_text(made) is None or isinstance(made, dict)
            assert len(str(answer_failure(made))) < 300
        assert len(str(status_failure(422, {}, made))) < 300
        assert usage_of(made) is None or all(0 <= n <= 2 * 10**9 for n in usage_of(made))
    assert 1000 < answers < 19_000
