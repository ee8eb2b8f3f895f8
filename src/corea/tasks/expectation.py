"""The mean of a stated confidence over what the model might have written in its place.

A stated confidence is one of few values; the distribution over the tokens it is written in is not. With p_j the
distribution at token j given what was written before it,

    E = sum over j of P(tokens before j) * sum over v of p_j(v) * value(v in the place of token j).

A number that is one token is exact. Of a longer one, "0" "." "8" "5", the rest of the written text stays where an
earlier token is replaced ("0.75" for "7" in the place of "8"), or falls away where that is no confidence ("1" where "1"
takes the place of the first token). What cannot be read as a confidence is left out; the weights add to 1 without it.
"""

from __future__ import annotations

from collections.abc import Sequence

from corea.tasks.parsing import read_confidence, tag_span

Piece = Sequence
"""[text, probability, [[other text, its probability], ...]] of one token."""


def expected_confidence(tail: Sequence[Piece], percent: bool = False) -> float | None:
    """Mean confidence of a completion that ends in the tokens `tail`; None where it states none.

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
        last = here == len(stated)  # the token that closes the number: others would have gone on with it
        if not last and here + len(token) > len(stated):
            break  # number and tag in one token
        for other, p in others:
            value = _read(stated[:here], other, "" if last else stated[here + len(token) :], percent)
            if value is not None:
                total += reached * p * value
                mass += reached * p
        reached *= probability
        if last:
            break
    value = read_confidence(stated, percent)
    assert value is not None, "the span was chosen so that it can be read"
    return min(1.0, (total + reached * value) / (mass + reached)) if mass + reached > 0 else value


def _read(before: str, other: str, after: str, percent: bool) -> float | None:
    """The confidence with `other` in the place of a token."""
    if other.startswith("<"):  # the number would have ended here
        return read_confidence(before, percent)
    value = read_confidence(before + other + after, percent)
    return value if value is not None else read_confidence(before + other, percent)
