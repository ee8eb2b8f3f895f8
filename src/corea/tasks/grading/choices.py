"""Which option of a multiple-choice question an answer picks.

A letter counts if it is asserted: alone, after "the answer is" (in many languages), or before its option's text or a
reason. It does not count if there are several letters, or if the text retracts it. The article "A" is not a letter.
"""

from __future__ import annotations

import re
from functools import lru_cache

from corea.tasks.grading.reading.literals import literal_prefix
from corea.tasks.grading.reading.normal import normal, strip_end
from corea.tasks.grading.reading.prose import LEAD, NAMED, NEGATION, boxed_answer
from corea.tasks.grading.rulings import CORRECT, unparsed, unreadable_gold, wrong
from corea.types import Question, Verdict

_PICK = re.compile(
    r"(?:(?:so|thus|therefore|hence)\s*,?\s*)?(?:i(?:'d| would| will|'ll)?\s+(?:think|believe|say|"
    r"pick|choose|select|go with|opt for|guess)|my choice is|"
    r"we (?:choose|pick|select)|it(?:'s| is| must be| should be)|this is|that is|option|choice|letter|"
    r"select|choose|(?:[\u4e00-\u9fff]{0,4})(?:选择?|選)|the)\s*:?\s*"
    r"(?:it(?:'s| is)\s+|option\s+|choice\s+|answer\s+|that\s+)?",
    re.IGNORECASE,
)
_SO = re.compile(r"(?:so|thus|therefore|hence|所以|因此|故)\s*[,:，]?\s*(?=[^\s])", re.IGNORECASE)
_POLITE = re.compile(r"\s*(?:です|입니다|이다)$")
_OPTION = re.compile(
    r"(?:the\s+)?(?:option|choice|letter|选项|選項|opci[óo]n|opzione|opç[ãa]o|вариант)\s*[:：]?\s*", re.IGNORECASE
)
_HEAD = re.compile(r"[\[({\"'<]*([A-Za-z]|[0-9]{1,2})(?![^\W_])\s*([)\]}\"'>]*)\s*", re.DOTALL)
_REASON = re.compile(
    r"(?:,\s*)?(?:because|since|as|for|due to|given that|weil|denn|da|car|parce que|porque|perch[ée]|"
    r"ponieważ|потому|так как|因为|因為|なぜなら)(?![A-Za-z])",
    re.IGNORECASE,
)
_CONFIRMED = re.compile(
    r"(?:is|are|was|seems|looks|appears|must be|should be|would be|ist|est|es|è)\s+(?:to be\s+)?"
    r"(?:the\s+|la\s+|die\s+|le\s+)?"
    r"(?:(?:(?:more|most|probably|actually)\s+)?(?:correct|right|best|true|likely|appropriate|suitable|better|plausible|"
    r"accurate|preferable|fitting|convincing)|answer|richtig|korrekt|"
    r"correcte?|correcta)",
    re.IGNORECASE,
)
_DELIMITER = re.compile(r"[.:,;)\]\-\n]|\(|$")
_JOIN = re.compile(r"(?:or|and|oder|und|ou|et|o|y|e|or maybe|或|和|и|или|&|/|\||,|\+|to|-|\s)+", re.IGNORECASE)
_REJECT = re.compile(
    r"(?:,\s*)?(?:no\b|not\b|isn'?t|is (?:not|wrong|incorrect|false|out)|was (?:wrong|incorrect)|"
    r"can'?t|cannot|would be wrong|wrong|"
    r"incorrect|false|nein|non\b|falsch|faux|incorrecto|falso|sbagliat|неверно|нет\b|错|不|\?|is un|"
    r"seems (?:wrong|unlikely)|maybe|perhaps|"
    r"but\b|or\b|unless|probably not|does ?n)",
    re.IGNORECASE,
)
_ASSERT = re.compile(
    r"(?:\bso|\btherefore|\bthus|\bhence|\bactually|\brather|\binstead|\banswer(?: is)?|\bchoose|"
    r"\bpick|\bselect|\bgo with|\bit'?s|\bit is|"
    r"\bor|\bmaybe|\bperhaps|\bno,?|\bbut|\bwait,?|\bthen|:)\s*(?:the\s+answer\s+is\s+)?(?:option\s+)?[(\[\"']*$",
    re.IGNORECASE,
)
_ARTICLE = re.compile(r"^(?:an?|the)\s+", re.IGNORECASE)
_BULLET = re.compile(r"^[-*\u2022]\s+(?=[(\[]?[A-Za-z0-9][)\].]?$)")
_BEFORE_A_LETTER = re.compile(r"(?:the|la|le|el|il|lo|die|der|das|a|o)\s+(?=[(\[]?[A-Z][)\]]?\W*$)", re.IGNORECASE)
_NOT_BUT = re.compile(r"not\s+[(\[]?[A-Z][)\]]?,?\s+but\s+(?:rather\s+)?(?:option\s+)?(?=[(\[]?[A-Z](?!\w))")
_TEXT_AND_LETTER = re.compile(
    r"(?P<text>.*\S)\s*(?:[,:\-]\s*)?(?:\s(?:option|choice|letter)\s+|(?=[(\[]))[(\[]?(?P<letter>[A-Z])[)\]]?",
    re.IGNORECASE | re.DOTALL,
)


def _text(option: str) -> str:
    """An option's text in normal form for comparison; keeps upper and lower case."""
    return strip_end(normal(str(option))).strip("\"' !")


@lru_cache(maxsize=4096)
def _options(pairs: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    return tuple((str(letter).strip("(). "), _text(option)) for letter, option in pairs)


def _value(text: str) -> str:
    """The number that a text denotes, else the text: \\frac12 and 1/2 are the same option."""
    found = literal_prefix(text)
    return text if found is None else f"{found[0].value}{found[1]}"


def _tight(text: str) -> str:
    """Without the space between a number and its unit."""
    return re.sub(r"(?<=[0-9]) (?=[^\W\d_]|[%°])", "", text)


def _by_text(text: str, options: tuple[tuple[str, str], ...]) -> str | None:
    """The only option with this text: compared exactly, else in lower case, else without articles."""
    given = text.strip("\"' !.")
    for key in (str, _value, _tight, str.casefold, lambda t: _ARTICLE.sub("", t.casefold())):
        found = [letter for letter, option in options if option and key(option) == key(given)]
        if len(found) == 1:
            return found[0]
        if found:
            return None
    return None


def _label(letter: str, options: tuple[tuple[str, str], ...]) -> str | None:
    """The option label that a letter denotes; without options any single letter or digit is a label."""
    if not options:
        return letter.upper() if len(letter) == 1 and letter.isalpha() else None
    for label, _ in options:
        if label.casefold() == letter.casefold():
            return label.upper()
    return None


def read_choice(text: str, options: dict[str, str]) -> str | None:
    """Letter of a choice: "B", "(b)", "Antwort: B", "B) because ...", or the text of an option; else None."""
    return choice_or_reason(text, options)[0]


def choice_or_reason(text: str, options: dict[str, str]) -> tuple[str | None, str]:
    """(letter, "") or (None, the reason why there is none)."""
    pairs = _options(tuple((str(k), str(v)) for k, v in options.items()))
    core, why = boxed_answer(text)
    if core is None:
        return None, why
    plain = _BULLET.sub("", normal(core))
    if not plain:
        return None, "an empty answer"
    if (label := _bare(plain, pairs)) is not None:
        return label, ""
    if (letter := _by_text(plain, pairs)) is not None:
        return letter.upper(), ""
    if (match := _TEXT_AND_LETTER.fullmatch(plain.rstrip(".!"))) is not None:
        named = _by_text(match["text"].rstrip(" ,:-"), pairs)
        if named is not None and named.upper() == match["letter"].upper():
            return named.upper(), ""
    return _asserted(plain, pairs)


def _bare(text: str, options: tuple[tuple[str, str], ...]) -> str | None:
    """A single letter, in brackets or not. An option whose text is that lower-case letter takes precedence."""
    match = re.fullmatch(r"[\[({\"'<]*([A-Za-z]|[0-9]{1,2})[)\]}\"'>]*[.:)!]?", text)
    if match is None:
        return None
    label = _label(match[1], options)
    if match[1] not in (o[0] for o in options) and (by_text := _by_text(match[1], options)) is not None:
        return by_text.upper() if match[1] in (o[1] for o in options) or label is None else None
    return label


def _asserted(text: str, options: tuple[tuple[str, str], ...]) -> tuple[str | None, str]:
    rest, led = text, False
    for pattern in (_SO, LEAD, NAMED, _PICK, LEAD, _OPTION):
        if match := pattern.match(rest):
            back = "(" if match[0].rstrip().endswith("(") else ""
            rest, led = _POLITE.sub("", back + rest[match.end() :]), True
    rest = _NOT_BUT.sub("", rest, count=1) if _NOT_BUT.match(rest) else rest
    if led:
        rest = _BEFORE_A_LETTER.sub("", rest.lstrip(": "), count=1)
        if (label := _bare(rest, options)) is not None:
            return label, ""
        if (letter := _by_text(rest, options)) is not None:
            return letter.upper(), ""
    match = _HEAD.match(rest)
    label = _label(match[1], options) if match else None
    if (
        match is None
        or label is None
        or (match[1].islower() and not match[2] and not _DELIMITER.match(rest[match.end() :]))
    ):
        return None, "names neither a letter nor an option's text"
    return _with_tail(label, match[2], rest[match.end() :], options)


def _with_tail(label: str, bracket: str, tail: str, options: tuple[tuple[str, str], ...]) -> tuple[str | None, str]:
    """The letter, unless the text after it retracts it or names another one."""
    delimiter = _beginning(r"[.:,;!)\]\-\s(]*", tail)
    marks = delimiter.replace(" ", "").replace("\n", "")
    behind = tail[len(delimiter) :].strip()
    if "?" in tail[: len(delimiter) + 1]:
        return None, f"the letter {label} is followed by a question mark"
    if not behind:
        return (None, f"a dash after the letter {label}") if marks.endswith("-") else (label, "")
    second = _other_first(label, delimiter + behind, options)
    if second == label and re.fullmatch(rf"(?:[/&,\s]*[(]?{label}[)]?)+", tail.strip()):
        return label, ""
    if second is not None and second != label:
        return None, "several letters"
    named = _by_text(behind.rstrip(")"), options)
    if named is not None:
        return (label, "") if named.upper() == label else (None, f"the letter {label} with the text of another option")
    if delimiter == "." and behind[0].isalpha():
        return None, "names neither a letter nor an option's text"
    if re.match(r"(?:,\s*)?(?:and\s+)?not\s+[(\[]?(?!" + label + r")[A-Z][)\]]?(?![\w'])(?!\s+[a-z])", behind):
        return label, ""
    if _REJECT.match(behind) or (not marks and _REJECT.match(tail.strip())):
        return None, f"the letter {label} is retracted"
    bare_a = label == "A" and behind.startswith("car ")  # French "A car ...", English "A car ..."
    if not (bracket or marks or (_REASON.match(behind) and not bare_a) or _CONFIRMED.match(behind)):
        return None, "names neither a letter nor an option's text"
    clause = re.split(r"[.;]\s|\b(?:because|since|weil|car|porque)\b", behind)[0]
    others = re.match(r"[(\[]?(?!" + label + r"\b)[A-Z][)\]]?\s+(?:is|was|are|would)\b", behind)
    if (
        not others
        and not _REASON.match(behind)
        and re.match(r"(?:[\w']+\s+){0,2}" + f"(?:{NEGATION.pattern})", clause, re.IGNORECASE)
    ):
        own = next((o for name, o in options if name.upper() == label), "")
        if not own or not behind.casefold().startswith(own.casefold()):
            return None, f"the letter {label} is retracted"
    return _no_other(label, behind, options)


def _other_first(label: str, tail: str, options: tuple[tuple[str, str], ...]) -> str | None:
    """The next letter if it follows immediately ("A or B", "(A) (B)")."""
    match = _JOIN.match(tail.lstrip(" )]}").lstrip())
    rest = tail.lstrip(" )]}")
    rest = rest[match.end() :] if match else rest
    found = re.match(r"[\[({]*([A-Z])[)\]}]*(?=$|[\s,/&|).:;])(?!\s+[a-z])", rest)
    return _label(found[1], options) if found else None


def _no_other(label: str, behind: str, options: tuple[tuple[str, str], ...]) -> tuple[str | None, str]:
    """The letter, unless the text after it asserts another one."""
    for match in re.finditer(r"(?<![\w'])([A-Z])(?![\w'])", behind):
        other = _label(match[1], options)
        if other is None or other == label:
            continue
        before, after = behind[: match.start()], behind[match.end() :].lstrip(")] ")
        last = not after.strip(" .!)")
        if _listed(other, behind[match.end() :], options):
            return None, f"a list of the options {label} and {other}"
        article = (
            match[1] in "AI" and re.match(r"[a-z]", after) and not _CONFIRMED.match(after) and not _REJECT.match(after)
        )
        if article:
            continue
        if last or _ASSERT.search(before) or _CONFIRMED.match(after):
            return None, f"the letters {label} and {other}"
    return label, ""


def _beginning(pattern: str, text: str) -> str:
    """The part of the text, from its start, that the pattern matches; empty if there is none."""
    found = re.match(pattern, text)
    return found[0] if found else ""


def _listed(letter: str, behind: str, options: tuple[tuple[str, str], ...]) -> bool:
    """Whether a letter inside a text begins an item: with a bracket or colon, or in front of its option's text."""
    mark = _beginning(r"\s*[).\]:]*\s*", behind)
    said = behind[len(mark) :]
    if _REJECT.match(said):
        return False
    own = next((text for name, text in options if name.upper() == letter), "")
    return bool(set(mark) & set(")]:") and said) or bool(own and said.casefold().startswith(own.casefold()))


def _gold(question: Question, options: dict[str, str]) -> str | None:
    """The gold letter; the gold may be the letter, the option's text, or the option's number from 0."""
    letter = read_choice(question.gold, options)
    if letter is not None:
        return letter
    plain = question.gold.strip()
    if plain.isdecimal() and len(plain) <= 2:
        if options and int(plain) < len(options):
            return str(list(options)[int(plain)]).strip("(). ").upper()
        if not options and int(plain) < 26:
            return "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[int(plain)]
    return None


def choice(question: Question, answer: str) -> Verdict:
    """The same option. With `meta["options"]` ({letter: text} or a list) an answer may also give the option's text."""
    options = question.meta.get("options") or {}
    if not isinstance(options, dict):
        options = dict(zip("ABCDEFGHIJKLMNOPQRSTUVWXYZ", options, strict=False))
    gold = _gold(question, options)
    if gold is None:
        return unreadable_gold(question.gold, "it is neither a letter nor an option")
    given, why = choice_or_reason(answer, options)
    if given is None and not options and answer.strip() == question.gold.strip():
        return CORRECT
    if given is None:
        return unparsed(why)
    return CORRECT if given == gold else wrong(f"picks {given}, the gold is {gold}")
