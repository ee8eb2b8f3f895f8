"""The normal form in which all graders compare: plain characters, no Markdown, no LaTeX that only affects layout.

White space is never deleted between digits; only LaTeX's thin space (and its Unicode equivalents) groups
digits by three, as in `1\\,000`.
"""

from __future__ import annotations

import re
from functools import lru_cache

from corea.tasks.grading.reading.characters import plain_characters

_TYPE = (
    "text|textbf|textit|textrm|textsf|texttt|textnormal|mbox|hbox|emph|mathrm|mathbf|mathit|mathsf|mathtt|mathnormal|"
    "boldsymbol|bm|underline|uline|fbox|boxed|operatorname|ensuremath|mathop|pmb"
)
_WRAPPER = re.compile(rf"\\(?:{_TYPE})\*?\s*\{{")
_SWITCHES = re.compile(
    r"\\(?:displaystyle|textstyle|scriptstyle|scriptscriptstyle|limits|nolimits|left|right|bigl|bigr|Bigl|Bigr|biggl|"
    r"biggr|Biggl|Biggr|big|Big|bigg|Bigg|mathstrut|strut|bf|rm|it|bfseries|itshape|rmfamily|large|"
    r"Large|small|normalsize"
    r"|middle|noindent|centering|par)(?![A-Za-z])"
)
_INVISIBLE_BRACE = re.compile(r"\\(?:left|right)\s*\.")
_SPACES = re.compile(r"\\(?:quad|qquad|enspace|thinspace|medspace|thickspace|space|hfill)(?![A-Za-z])|(?<!\\)\\[;: >]")
_HSPACE = re.compile(r"\\[hv]space\*?\s*\{[^{}]*\}|\\(?:phantom|hphantom|vphantom)\s*\{[^{}]*\}")
_THIN_GROUP = re.compile(r"(?<=[0-9])(?:\\[,!]|\{,\})\s?(?=[0-9]{3}(?![0-9]))")
_SPACED_GROUP = re.compile(r"(?<![0-9.])[0-9]{1,3}(?:~[0-9]{3})+(?![0-9])")
_BRACED_COMMA = re.compile(r"(?<=[0-9])(?:\{,\}|,\\[!,])\s?(?=[0-9]{3})")
_ALIASES = {
    "dfrac": "frac", "tfrac": "frac", "cfrac": "frac", "sfrac": "frac", "dbinom": "binom", "tbinom": "binom",
    "leq": "le", "leqslant": "le", "geq": "ge", "geqslant": "ge", "neq": "ne", "lt": "<", "gt": ">", "dots": "ldots",
    "cdots": "ldots", "dotsc": "ldots", "dotsb": "ldots", "varnothing": "emptyset", "bigcup": "cup", "bigcap": "cap",
    "degree": "^{\\circ}", "textdegree": "^{\\circ}", "lbrace": "\\{", "rbrace": "\\}", "lbrack": "[", "rbrack": "]",
    "lvert": "|", "rvert": "|", "vert": "|", "mid": "|", "colon": ":", "varepsilon": "epsilon", "varphi": "phi",
    "vartheta": "theta", "ast": "*", "slash": "/", "iff": "Leftrightarrow", "implies": "Rightarrow", "to": "to",
    "textdollar": "$", "euro": " EUR ", "pounds": " GBP ", "backslash": "setminus", "textstyle": " ", "lor": "vee",
    "land": "wedge", "lnot": "neg", "percent": "%", "infin": "infty", "rarr": "to", "isin": "in", "R": "mathbb{R}",
}  # fmt: skip
_COMMAND = re.compile(r"\\([A-Za-z]+)")
_BOLD = re.compile(r"(?<![\w*)\]}])(\*{1,3}|__|~~)(?=\S)([^*\n]+?)(?<=\S)\1(?![\w*(])")
_DELIMITERS = re.compile(r"\\[()\[\]]")
_POWER = re.compile(r"(?<=[\w)}\]])\s*\*\*\s*(?=[\w({\\-])")
_THIN, _NOTHING = re.compile(r"(?<!\\)\\,"), re.compile(r"(?<!\\)\\[!/-]")
_ABOUT = re.compile(r"\s*[$(]*~\s*(?=[-$.0-9\\])")
_CIRC = re.compile(r"\^\s*(?:\{\s*\\circ\s*\}|\\circ(?![A-Za-z]))")
_NOT = re.compile(r"\\not\s*(=|\\in(?![A-Za-z]))")
_CUT_SPACE = re.compile(r"(?<!\\)\\$")
"""What is left of LaTeX's space at the end of a text."""
_FENCE = re.compile(r"^```[A-Za-z]*\n?|\n?```$")
_END = ".,;:"


def _alias(match: re.Match[str]) -> str:
    name = match[1]
    replaced = _ALIASES.get(name)
    if replaced is None:
        return match[0]
    return f"\\{replaced} " if replaced.isalpha() else replaced


def closing(text: str, start: int, pair: str = "{}") -> int:
    """Position of the brace that closes the one at `start`; -1 if there is none."""
    depth, place = 0, start
    while place < len(text):
        char = text[place]
        if char == "\\":
            place += 2
            continue
        depth += (char == pair[0]) - (char == pair[1])
        if depth == 0:
            return place
        place += 1
    return -1


def _unwrap(text: str) -> str:
    """`\\text{cm}` becomes ` cm `: text inside a formula is a separate word."""
    for _ in range(40):
        match = _WRAPPER.search(text)
        if match is None:
            return text
        end = closing(text, match.end() - 1)
        inner = text[match.end() : end if end >= 0 else len(text)]
        before, after = text[: match.start()], text[end + 1 :] if end >= 0 else ""
        glued = (inner[:1].isdigit() and before[-1:].isdigit()) or (inner[-1:].isdigit() and after[:1].isdigit())
        pad = " " if inner.strip().isalpha() or glued else ""
        text = f"{before}{pad}{inner}{pad}{after}"
    return text


@lru_cache(maxsize=8192)
def normal(text: str) -> str:
    """The normal form of an answer or gold; idempotent.

    `**$1\\,234$.**` becomes `1234`, `\\dfrac12\\text{ cm}` becomes `\\frac12 cm`.
    """
    text = _CUT_SPACE.sub("", plain_characters(text).strip())
    text = _FENCE.sub("", text)
    if "`" in text:
        text = text.replace("`", "")
    if "*" in text or "__" in text or "~~" in text:
        text = _POWER.sub("^", _BOLD.sub(r"\2", text))
    if "~" in text:
        text = _ABOUT.sub("\\\\approx ", text, count=1) if _ABOUT.match(text) else text
        text = _SPACED_GROUP.sub(lambda m: m[0].replace("~", ""), text)
    if "\\" in text or "{,}" in text:
        text = _latex(text)
    text = text.replace("~", " ").replace("$", " ") if "$" in text or "~" in text else text
    return strip_end(_loose(" ".join(line for line in (" ".join(x.split()) for x in text.split("\n")) if line)))


def _latex(text: str) -> str:
    text = _BRACED_COMMA.sub("", text)
    text = _THIN_GROUP.sub("", text)
    text = _NOTHING.sub("", _THIN.sub(" ", text))
    text = text.replace("{,}", ",").replace("{.}", ".")
    text = text.replace("\\%", "%").replace("\\$", "$").replace("\\#", "#").replace("\\_", "_")
    if "\\&" in text:
        text = text.replace("\\&", " and ")
    text = re.sub(r"\\\\(?=\s*(?:\[[^\]]*\])?\s*$)", "", text) if text.endswith("\\") else text
    text = _outside_matrix(text)
    if "\\not" in text:
        text = _NOT.sub(lambda m: "\\notin " if m[1] == "\\in" else "\\ne ", text)
    text = _INVISIBLE_BRACE.sub(" ", text)
    text = _SWITCHES.sub(" ", _HSPACE.sub(" ", text))
    text = _SPACES.sub(" ", text)
    text = _unwrap(text)
    return _CIRC.sub("^{\\\\circ}", _COMMAND.sub(_alias, text))


def _outside_matrix(text: str) -> str:
    """Remove the delimiters `\\( \\) \\[ \\]`, but not the bracket of a row end `\\\\[2pt]`."""
    rows = text.split("\\\\")
    return "\\\\".join(_DELIMITERS.sub(" ", row) for row in rows)


_OUTER = {"{": "}", '"': '"', "'": "'"}


def _loose(text: str) -> str:
    """Remove braces or quotation marks around the whole text."""
    while len(text) > 1 and text[0] in _OUTER:
        end = closing(text, 0) if text[0] == "{" else text.find(_OUTER[text[0]], 1)
        if end != len(text) - 1:
            return text
        text = text[1:-1].strip()
    return text


def strip_end(text: str) -> str:
    """Remove the punctuation that ends a sentence, but not an ellipsis."""
    text = text.strip()
    while text and text[-1] in _END and not text.endswith(("..", "\\,", "\\;", "\\:")):
        text = text[:-1].rstrip()
    return text


def folded(text: str) -> str:
    """Words for comparison: lower case, single spaces, no punctuation at the ends."""
    return " ".join(text.casefold().split()).strip(" .,;:!\"'")


def squeezed(text: str) -> str:
    """Remove white space except between two letters or digits, so that two spellings of a formula are equal."""
    return re.sub(r"(?<![A-Za-z0-9]) | (?![A-Za-z0-9])", "", " ".join(text.split()))
