"""Tags never reach a client, however a text is split."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corea.serving.tag_filter import TAGS, TagFilter, visible_text

BROKEN = ("<", "</", "<ans", "wer>", "<th", "ink>", "</conf", "idence>", "<thinking>")
PIECES = st.lists(st.sampled_from([*TAGS, *BROKEN, "a < b", "7", " ", "\n", "é"]), max_size=14)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("<think>so</think> <answer>7</answer> <confidence>0.9</confidence>", "7"),
        ("seven, I think <confidence>0.5</confidence>", "seven, I think"),
        ("<think>so and so", ""),
        ("<answer>1 < 2</answer>\n", "1 < 2"),
        ("a <b> c </think> d", "a <b> c  d"),
        ("<answer>two\n lines</answer> <confid", "two\n lines <confid"),
        ("<think>a <answer>8</answer></think><answer>7</answer>", "7"),
        ("<th<answer>ink>secret</th</answer>ink> 7", ""),
        ("<th<answer>ink>secret</think> 7", "7"),
        ("1 <a</think>nswer> 2 </<<answer>answer> 3", "1  2 </ 3"),
        ("<an<think>so</think>swer>7</answer>", "7"),
        ("<<<<", "<<<<"),
        ("<th<think>so", "<th"),
    ],
)
def test_what_a_client_sees(text, shown):
    assert visible_text(text) == shown
    assert visible_text(text, keep_tags=True) == text


def by_hand(text: str) -> str:
    """Character by character: a tag is removed as soon as the visible text ends with it."""
    shown, until, hidden = "", "", ""
    for character in text:
        if until:
            hidden += character
            if hidden.endswith(until):
                until = ""
            continue
        shown += character
        for name in ("think", "confidence", "answer"):
            for tag in (f"<{name}>", f"</{name}>"):
                if shown.endswith(tag):
                    shown, hidden = shown[: -len(tag)], ""
                    until = f"</{name}>" if name != "answer" and tag[1] != "/" else ""
    return shown.strip()


@given(PIECES, st.lists(st.integers(0, 40), max_size=12))
def test_every_split_shows_the_same_and_no_tag(pieces, cuts):
    text = "".join(pieces)
    places = sorted({min(cut, len(text)) for cut in cuts} | {0, len(text)})
    one = TagFilter()
    parts = [one.feed(text[a:b]) for a, b in itertools.pairwise(places)]
    whole = "".join(parts) + one.end()
    assert whole == visible_text(text) == by_hand(text)
    assert not any(tag in whole for tag in TAGS)
