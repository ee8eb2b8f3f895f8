"""Splits a text into parts: lists, relations, unions, brackets, matrices, plus and minus."""

from __future__ import annotations

import re
from dataclasses import dataclass

_ANY = r"\\begin\{|\\end\{|\\\\|\\[{}]|\\[A-Za-z]+|%s[A-Za-z]+|[^\W\d_]+|."
_UNGROUPED = re.compile(_ANY % "", re.DOTALL)
_PIECES = re.compile(_ANY % r"(?<![0-9.,])[1-9][0-9]{0,2}(?:,[0-9]{3})+(?!,?[0-9])|", re.DOTALL)
_OPEN, _CLOSE = (
    {"(", "[", "{", "\\{", "\\begin{", "\\lfloor", "\\lceil"},
    {")", "]", "}", "\\}", "\\end{", "\\rfloor", "\\rceil"},
)
_JOINERS = frozenset(
    ("and", "or", "und", "oder", "et", "ou", "и", "или", "\\vee", "\\wedge", "和", "或", "或者", "または")
)
_JOINER = re.compile(
    r"(?<![A-Za-z])(?:and|or|und|oder|et|ou|и|или)(?![A-Za-z])|\\(?:vee|wedge)|[和或た]", re.IGNORECASE
)
_SIGN = re.compile(
    r"[=<>]|\\(?:le|ge|ne|approx|in|sim|notin|equiv|cong|subset|subseteq|neg|Right|Left|to|propto|para|perp)"
)
_SIGNS = {
    "=": "=", "<": "<", ">": ">", "\\le": "<=", "\\ge": ">=", "\\ne": "!=", "\\approx": "~", "\\in": "in", "\\sim": "~",
    "\\notin": "notin", "\\equiv": "equiv", "\\cong": "~", "\\subset": "subset", "\\subseteq": "subset", "\\neg": "not",
    "\\Rightarrow": "=>", "\\Leftrightarrow": "=>", "\\to": "=>", "\\propto": "~", "\\parallel": "par",
    "\\perp": "perp",
}  # fmt: skip


def pieces(text: str, pattern: re.Pattern[str] = _PIECES) -> list[tuple[str, int, int]]:
    """(piece, its position, depth of brackets around it)."""
    found, depth = [], 0
    for match in pattern.finditer(text):
        piece = match[0]
        if piece in _CLOSE:
            depth -= 1
        found.append((piece, match.start(), depth))
        if piece in _OPEN:
            depth += 1
            if piece == "\\begin{":  # its name is in braces too
                depth += 1
        if piece == "\\end{":
            depth += 1
    return found


def split_list(text: str) -> list[str]:
    """Parts between commas, semicolons, "and" and "or" outside all brackets; not at commas that group digits."""
    if not ("," in text or ";" in text or _JOINER.search(text)):
        return [text]
    parts, start = [], 0
    for piece, place, depth in pieces(text):
        if depth == 0 and (piece in (",", ";") or piece.casefold() in _JOINERS):
            parts.append(text[start:place].strip())
            start = place + len(piece)
    parts.append(text[start:].strip())
    return [p for p in parts if p] or [text]


@dataclass(frozen=True, slots=True)
class Sides:
    """A chain of relations."""

    signs: tuple[str, ...]
    sides: tuple[str, ...]


def split_relation(text: str) -> Sides | None:
    """The sides of `2 < x \\le 5`; None if there is no relation outside brackets."""
    if not _SIGN.search(text):
        return None
    signs, sides, start = [], [], 0
    found = pieces(text)
    skip = -1
    for number, (piece, place, depth) in enumerate(found):
        if depth != 0 or place < skip or piece not in _SIGNS:
            continue
        sign, end = _SIGNS[piece], place + len(piece)
        following = text[end:].lstrip()
        if piece in "<>!" and following[:1] == "=":
            sign, end = sign + "=", text.index("=", end) + 1
        if piece == "=" and number and text[place - 1] == "!":
            sign = "!="
            sides.append(text[start : place - 1].strip())
        else:
            sides.append(text[start:place].strip())
        signs.append(sign)
        start = skip = end
    if not signs:
        return None
    sides.append(text[start:].strip())
    return Sides(tuple(signs), tuple(sides))


def split_union(text: str) -> tuple[str, list[str]] | None:
    """(sign, parts) of `A \\cup B` or `A \\setminus B`."""
    if (
        "\\cup" not in text
        and "\\cap" not in text
        and "\\setminus" not in text
        and not re.search(r"[)\]}]\s*[U-]", text)
    ):
        return None
    for sign, names in (("\\cup", ("\\cup", "U")), ("\\setminus", ("\\setminus",)), ("\\cap", ("\\cap",))):
        parts, start = [], 0
        for piece, place, depth in pieces(text):
            if depth == 0 and piece in names and (piece != "U" or text[:place].rstrip()[-1:] in (")", "]", "}")):
                parts.append(text[start:place].strip())
                start = place + len(piece)
        if parts:
            return sign, [*parts, text[start:].strip()]
    match = re.fullmatch(r"(\\mathbb\{[A-Z]\})\s*-\s*(\\\{.*\\\})", text)
    return ("\\setminus", [match[1], match[2]]) if match else None


def joined_by_and(text: str) -> bool:
    """Whether "and" joins the parts of a list: of inequalities, all must hold."""
    return any(d == 0 and p.casefold() in ("and", "und", "et", "y", "\\wedge", "\\cap") for p, _, d in pieces(text))


_PLUS_MINUS = re.compile(r"\\(?:pm|mp)(?![A-Za-z])|\+/-")


def variants(text: str) -> list[str]:
    """`1 \\pm \\sqrt 2` as its two readings; the text alone if it has no such sign."""
    if not _PLUS_MINUS.search(text):
        return [text]
    text = text.replace("+/-", "\\pm ")
    swap = (("\\pm", "+", "-"), ("\\mp", "-", "+"))
    out = []
    for which in (1, 2):
        variant = text
        for names in swap:
            variant = re.sub(re.escape(names[0]) + r"(?![A-Za-z])\s*", names[which], variant)
        out.append(re.sub(r"(^|[=,(\[<>])\s*\+", r"\1", variant).strip())
    return out


@dataclass(frozen=True, slots=True)
class Inside:
    """A pair of brackets and the parts between them."""

    kind: str
    """tuple or set."""
    items: list[str]
    brackets: str


def bracketed(text: str) -> Inside | None:
    """`(a, b)`, `[a, b)` or `\\{a, b\\}` if one pair of brackets encloses the whole text."""
    if text in ("\\emptyset", "\\{\\}", "\\{ \\}"):
        return Inside("set", [], "{}")
    braces = text.startswith("\\{") and text.endswith("\\}")
    if not braces and not (text[:1] in "([" and text[-1:] in ")]" and len(text) > 2):
        return None
    found = pieces(text)
    if any(depth == 0 for _, _, depth in found[1:-1]):
        return None
    inner = text[2:-2] if braces else text[1:-1]
    parts, start = [], 0
    for piece, place, depth in pieces(inner, _UNGROUPED):  # in brackets every comma separates: (1,234) is a point
        if depth == 0 and piece in (",", ";"):
            parts.append(inner[start:place].strip())
            start = place + 1
    parts.append(inner[start:].strip())
    if not all(parts):
        return None
    if braces:
        return Inside("set", parts, "{}")
    brackets = text[0] + text[-1]
    if len(parts) == 1 and brackets != "[]":
        return Inside("tuple", parts, brackets) if split_relation(parts[0]) or matrix_rows(parts[0]) else None
    return Inside("tuple", parts, brackets) if len(parts) > 1 else None


@dataclass(frozen=True, slots=True)
class Rows:
    """Cells of a matrix."""

    cells: list[list[str]]
    determinant: bool


_MATRIX = re.compile(r"\\begin\{([pbBvV]?(?:small)?matrix|array)\}(?:\s*\{[lcr|\s]*\})?(.*)\\end\{\1\}", re.DOTALL)


def matrix_rows(text: str) -> Rows | None:
    """The cells of `\\begin{pmatrix} 1 & 2 \\\\ 3 & 4 \\end{pmatrix}`."""
    bare = text
    if bare[:1] in "([" and bare[-1:] in ")]" and "\\begin" in bare:
        bare = bare[1:-1].strip()
    match = _MATRIX.fullmatch(bare)
    if match is None or "\\begin" in match[2]:
        return None
    rows = [row.strip() for row in re.split(r"\\\\(?:\[[^\]]*\])?", match[2])]
    if rows and not rows[-1]:
        rows.pop()
    cells = [[cell.strip() for cell in row.replace("\\hline", "").split("&")] for row in rows]
    return Rows(cells, match[1] in ("vmatrix", "Vmatrix"))
