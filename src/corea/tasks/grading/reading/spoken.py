"""Words that are numbers, and words that change the number before them."""

from __future__ import annotations

import re
from fractions import Fraction

from corea.tasks.grading.reading.tables import words

_ONES = words(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
)
_TENS = words("twenty thirty forty fifty sixty seventy eighty ninety")
SMALL = {w: n for n, w in enumerate(_ONES)} | {w: 10 * n for n, w in enumerate(_TENS, 2)}
_BIG = {"thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12, "quadrillion": 10**15}
SCALES: dict[str, int] = {
    "hundred": 100, **_BIG, "dozen": 12, "gross": 144, "score": 20, "lakh": 10**5, "lac": 10**5, "crore": 10**7,
    "bn": 10**9, "mio": 10**6, "k": 1000, "tausend": 1000, "mille": 1000, "mil": 1000, "millionen": 10**6,
    "milliarde": 10**9, "milliarden": 10**9, "milliard": 10**9, "millones": 10**6, "millón": 10**6, "milioni": 10**6,
    "milhões": 10**6, "myriad": 10**4, "mln": 10**6, "тысяч": 1000, "тысячи": 1000, "тыс": 1000,
    "миллион": 10**6, "миллиона": 10**6, "миллионов": 10**6, "млн": 10**6, "млрд": 10**9, "लाख": 10**5,
    "करोड़": 10**7, "हज़ार": 1000,
    "百": 100, "千": 1000, "万": 10**4, "萬": 10**4, "亿": 10**8, "億": 10**8, "만": 10**4, "억": 10**8,
}  # fmt: skip
_ORDINAL_PARTS = words(
    "third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth fifteenth sixteenth "
    "seventeenth eighteenth nineteenth"
)
PARTS: dict[str, Fraction] = {
    "half": Fraction(1, 2), "halves": Fraction(1, 2), "quarter": Fraction(1, 4),
    **{w: Fraction(1, n) for n, w in enumerate(_ORDINAL_PARTS, 3)},
    **{f"{w[:-1]}ieth": Fraction(1, 10 * n) for n, w in enumerate(_TENS, 2)},
    "hundredth": Fraction(1, 100), **{f"{w}th": Fraction(1, n) for w, n in _BIG.items()},
    "percent": Fraction(1, 100), "permille": Fraction(1, 1000), "ppm": Fraction(1, 10**6), "bps": Fraction(1, 10**4),
}  # fmt: skip
PERCENT = re.compile(
    r"%|\b(?:percent(?:age)?s?|per ?cent|prozent|pour ?cent|por ?cien?to|procent|процент\w*|yüzde)\b|"
    r"百分|퍼센트|प्रतिशत",
    re.IGNORECASE,
)


def factor(word: str) -> Fraction | None:
    """Factor by which a word after a number multiplies it; None if it is not such a word."""
    word = word.casefold()
    for form in (word, word.removesuffix("s")):
        if form in SCALES:
            return Fraction(SCALES[form])
        if form in PARTS:
            return PARTS[form]
    return None


def is_number_word(word: str) -> bool:
    """Whether a word is part of a spoken number."""
    return word in SMALL or word in ("hundred", "dozen", *_BIG) or word.removesuffix("s") in PARTS or word == "halves"


def read_spoken(text: str) -> Fraction | None:
    """The number in English words: "twenty-one", "minus five", "two thirds", "three and a half"; else None."""
    words = text.casefold().replace("-", " ").split()
    if not words or len(words) > 20:
        return None
    if words[0] in ("minus", "negative"):
        inner = read_spoken(" ".join(words[1:])) if len(words) > 1 and words[1] not in ("minus", "negative") else None
        return None if inner is None else -inner
    if words in (["half"], ["a", "half"], ["one", "half"]):
        return Fraction(1, 2)
    if words[-3:] in (["and", "a", "half"], ["and", "one", "half"]):
        whole = _cardinal(words[:-3])
        return None if whole is None else whole + Fraction(1, 2)
    if words[-1] in ("dozen", "dozens") and len(words) > 1:
        count = Fraction(1) if words[:-1] == ["a"] else _cardinal(words[:-1])
        return None if count is None else 12 * count
    part = words[-1].removesuffix("s") if words[-1] != "halves" else "half"
    if len(words) > 1 and part in PARTS and part not in ("percent", "permille", "ppm", "bps"):
        count = Fraction(1) if words[:-1] in (["a"], ["an"]) else _cardinal(words[:-1])
        return None if count is None else count * PARTS[part]
    return _cardinal(words)


def _cardinal(words: list[str]) -> Fraction | None:
    """The value of "two hundred and five"; the parts must be in falling order."""
    if words[:1] == ["a"] and len(words) > 1 and words[1] in ("hundred", *_BIG):
        words = ["one", *words[1:]]
    total, group, last, ceiling, joined = 0, None, None, None, False
    for word in words:
        if word == "and" and last in ("hundred", *_BIG):
            last, joined = "and", True
            continue
        if word in SMALL:
            value = SMALL[word]
            tens = last in _TENS and 1 <= value <= 9
            if not (tens or last in (None, "and", "hundred", *_BIG)):
                return None
            group = (group or 0) + value
        elif word == "hundred" and group is not None and 1 <= group <= 99:
            group *= 100
        elif word in _BIG and group and (ceiling is None or _BIG[word] < ceiling):
            total, group, ceiling = total + group * _BIG[word], None, _BIG[word]
        else:
            return None
        last, joined = word, False
    if joined or (not total and group is None):
        return None
    return Fraction(total + (group or 0))
