"""Expected confidence: the mean over the confidences that the model could have stated, by their probabilities.

A stated confidence takes few values; its distribution over tokens is continuous. With p_j the distribution at token j
given the tokens before it,

    E = sum over j of P(tokens before j) * sum over v of p_j(v) * value(v in place of token j).

The result is exact for a number of one token. For a longer one, "0" "." "8" "5", a replaced token keeps the rest of the
written text ("7" in place of "8" gives 0.75), unless that is not a confidence ("1" in place of the first token gives
1). Alternatives that are not confidences are left out, and the weights are normalised without them.
"""

from __future__ import annotations

from collections.abc import Sequence

from corea.tasks.parsing import read_confidence, tag_span

Piece = Sequence
"""[text, probability, [[other text, its probability], ...]] of one token."""


def expected_confidence(tail: Sequence[Piece], percent: bool = False) -> float | None:
    """Expected confidence of a completion that ends with the tokens `tail`; None if it states no confidence.

    Args:
        tail: see Sampling.record; the alternatives of each token are its most probable ones.
        percent: the prompt asked for a confidence in percent.
    """
    text = "".join(piece[0] for piece in tail)
    span = tag_span(text, "confidence", lambda content: read_confidence(content, percent) is not None)
    if span is None:
        return None
    begin, end = span
    stated = text[begin:end]
    reached, total, mass, start = 1.0, 0.0, 0.0, 0
    for piece in tail:
        token, probability, others = piece
        here, start = start - begin, start + len(token)
        if here < 0 or here > len(stated):
            continue
        last = here == len(stated)  # the token after the number; alternatives would continue it
        if not last and here + len(token) > len(stated):
            break  # the token holds the end of the number and the tag
        for other, p in others:
            value = replaced_confidence(stated[:here], other, "" if last else stated[here + len(token) :], percent)
            if value is not None:
                total += reached * p * value
                mass += reached * p
        reached *= probability
        if last:
            break
    value = read_confidence(stated, percent)
    assert value is not None, "the span contains a readable confidence"
    return min(1.0, (total + reached * value) / (mass + reached)) if mass + reached > 0 else value


def replaced_confidence(before: str, other: str, after: str, percent: bool) -> float | None:
    """The confidence that `other` makes in place of a token between the texts `before` and `after`; None if none."""
    if other.startswith("<"):  # the number would end here
        return read_confidence(before, percent)
    value = read_confidence(before + other + after, percent)
    return value if value is not None else read_confidence(before + other, percent)
