"""Tags never reach a client, however a text is split."""

import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corea.serving.tag_filter import TAGS, TagFilter, visible_text

PIECES = st.lists(
    st.sampled_from([*TAGS, "<", "</", "<ans", "a < b", "7", " ", "\n", "é", "<thinking>", "think>"]), max_size=14
)


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
    ],
)
def test_what_a_client_sees(text, shown):
    assert visible_text(text) == shown
    assert visible_text(text, keep_tags=True) == text


@given(PIECES, st.lists(st.integers(0, 40), max_size=12))
def test_every_split_shows_the_same_and_no_tag(pieces, cuts):
    text = "".join(pieces)
    places = sorted({min(cut, len(text)) for cut in cuts} | {0, len(text)})
    one = TagFilter()
    parts = [one.feed(text[a:b]) for a, b in itertools.pairwise(places)]
    whole = "".join(parts) + one.end()
    assert whole == visible_text(text) == whole.strip()
    hidden = re.sub(r"<(think|confidence)>.*?(</\1>|\Z)", "", text, flags=re.DOTALL)  # an implementation by hand
    assert whole == re.sub(r"</?(think|confidence|answer)>", "", hidden).strip()
