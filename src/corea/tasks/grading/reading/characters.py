"""Replaces characters of all scripts by the plain ones that the readers know.

NFKC alone is not enough: it turns "2³" into "23" and "1½" into "11⁄2". Characters with a meaning are therefore
rewritten as LaTeX first; then NFKC folds full-width letters, ligatures and the like.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from corea.tasks.grading.reading.tables import words

_SUPER = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼⁽⁾ⁿⁱ", "0123456789+-=()ni", strict=True))
_SUB = dict(zip("₀₁₂₃₄₅₆₇₈₉₊₋₌₍₎ₐₑₒₓₖₗₘₙₚₛₜᵢⱼ", "0123456789+-=()aeoxklmnpstij", strict=True))
_SMALL_GREEK = words(
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau upsilon phi chi psi "
    "omega"
)
_GREEK = {
    **dict(zip("αβγδεζηθικλμνξπρστυφχψω", _SMALL_GREEK, strict=True)), "ϵ": "epsilon", "ϕ": "phi", "ϑ": "theta",
    **dict(zip("ΓΔΘΛΞΠΣΦΨΩ", words("Gamma Delta Theta Lambda Xi Pi Sigma Phi Psi Omega"), strict=True)),
}  # fmt: skip
_COMMANDS = {
    "∞": "infty", "∅": "emptyset", "⌀": "emptyset", "±": "pm", "∓": "mp", "≤": "le", "⩽": "le", "≦": "le", "≥": "ge",
    "⩾": "ge", "≧": "ge", "≠": "ne", "≈": "approx", "≃": "approx", "≅": "cong", "∼": "sim", "≡": "equiv", "∪": "cup",
    "∩": "cap", "∈": "in", "∉": "notin", "∖": "setminus", "⊂": "subset", "⊆": "subseteq", "∫": "int", "∑": "sum",
    "∏": "prod", "∂": "partial", "∇": "nabla", "¬": "neg", "∧": "wedge", "∨": "vee", "→": "to", "⇒": "Rightarrow",
    "⇔": "Leftrightarrow", "∀": "forall", "∃": "exists", "∠": "angle", "⊥": "perp", "∥": "parallel", "⌊": "lfloor",
    "⌋": "rfloor", "⌈": "lceil", "⌉": "rceil", "…": "ldots", "⋯": "ldots", "×": "times", "✕": "times", "✖": "times",
    "·": "cdot", "⋅": "cdot", "∙": "cdot", "•": "cdot", "・": "cdot", "÷": "div", "∘": "circ",
    **_GREEK,
}  # fmt: skip
_SETS = dict(zip("ℝℤℕℚℂ", "RZNQC", strict=True))
_PLAIN = {
    "⁄": "/", "∕": "/", "／": "/", "−": "-", "‐": "-", "‑": "-", "‒": "-", "–": "-", "—": "-", "―": "-",
    "﹣": "-", "－": "-",
    "°": "^{\\circ}", "º": "^{\\circ}", "˚": "^{\\circ}", "℃": "^{\\circ} C", "℉": "^{\\circ} F", "′": "'", "″": "''",
    "٪": "%", "％": "%", "٫": ".", "٬": ",", "。": ".", "．": ".", "、": ",", "،": ",", "؛": ";",
    "۔": ".", "।": ".", "؟": "?",
    "“": '"', "”": '"', "„": '"', "«": '"', "»": '"', "‘": "'", "’": "'", "∶": ":", "꞉": ":", "｜": "|",
    "∣": "|", "∗": "*",
    "\u2009": "\\,", "\u202f": "\\,", "\u00a0": "~", "\u2028": "\n", "\u2029": "\n",
}  # fmt: skip
_CURRENCY = {
    "€": "EUR",
    "£": "GBP",
    "¥": "JPY",
    "￥": "JPY",
    "₹": "INR",
    "₽": "RUB",
    "₩": "KRW",
    "₺": "TRY",
    "¢": "cents",
}
_GREEK_WORD = re.compile(r"([\u0370-\u03ff\u1f00-\u1fff]{4,})")
"""A Greek word, not a product of variables."""
_ROOTS = {"√": "\\sqrt ", "∛": "\\sqrt[3]", "∜": "\\sqrt[4]"}


def _vulgar(char: str) -> str | None:
    """`\\frac{1}{2}` of ½."""
    above, slash, below = unicodedata.normalize("NFKC", char).partition("⁄")
    return f"\\frac{{{above}}}{{{below}}}" if slash and above.isdigit() and below.isdigit() else None


@lru_cache(maxsize=4096)
def _replacement(char: str) -> str:
    category = unicodedata.category(char)
    if category == "Nd":
        return str(unicodedata.digit(char))
    if char in _PLAIN:
        return _PLAIN[char]
    if char in _COMMANDS:
        return f"\\{_COMMANDS[char]} "
    if char in _SETS:
        return f"\\mathbb{{{_SETS[char]}}}"
    if char in _CURRENCY:
        return f" {_CURRENCY[char]} "
    if char in _ROOTS:
        return _ROOTS[char]
    if category == "No" and (vulgar := _vulgar(char)):
        return vulgar
    if category in ("Cf", "Cs", "Co", "Cn") or (category == "Cc" and char not in "\n\t\r"):
        return "" if category == "Cf" else "\ufffd"
    if category == "Zs":
        return " "
    folded = unicodedata.normalize("NFKC", char)
    return folded if folded == char or len(folded) > 4 else "".join(map(_replacement, folded))


def _scripts(text: str) -> str:
    """Write runs of superscripts and subscripts as ^{...} and _{...}."""
    found: list[str] = []
    place = 0
    while place < len(text):
        table = next((t for t in (_SUPER, _SUB) if text[place] in t), None)
        if table is None:
            found.append(text[place])
            place += 1
            continue
        end = place
        while end < len(text) and text[end] in table:
            end += 1
        found.append(("^{" if table is _SUPER else "_{") + "".join(table[c] for c in text[place:end]) + "}")
        place = end
    return "".join(found)


def plain_characters(text: str) -> str:
    """Replace symbols by LaTeX and lone surrogates by U+FFFD, and remove invisible characters."""
    if text.isascii() and text.isprintable():
        return text
    if any(c in _SUPER or c in _SUB for c in text):
        text = _scripts(text)
    return "".join(
        part if number % 2 else "".join(c if " " <= c <= "~" else _replacement(c) for c in part)
        for number, part in enumerate(_GREEK_WORD.split(text))
    )
