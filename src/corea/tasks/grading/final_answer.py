"""The final answer of a text without required tags, such as recorded answers of other systems.

It is the first of these that the text after the last `</think>` contains:

1. the last `<answer>` tag,
2. the last `\\boxed{...}`, with or without braces, cut off or not,
3. the text after the last `####`, of any length,
4. the text after the last "the answer is" or "Answer:", in many languages,
5. depending on the grader: the last line with a single letter (choice), the last formula, or the last sentence with a
   digit.

A text in which the model continues with another question is cut before that question.
"""

from __future__ import annotations

import re

from corea.tasks.grading.reading.prose import LEAD, NEGATION, boxes
from corea.tasks.parsing import tag_contents

LONGEST = 2000
"""Maximum number of characters of a sentence that are searched."""
_NEXT_QUESTION = re.compile(
    r"\n\s*(?:\*\*)?(?:Question|Q|Problem|Human|User|Exercise|Frage|问题)\s*\d*\s*[:：]", re.IGNORECASE
)
_ANSWERED = re.compile(r"####|\\boxed|</answer>|answer(?: is|:)", re.IGNORECASE)
_HASHES = re.compile(r"####(?!#)[ \t]*([^\n]*)")
_HEADING = re.compile(r"(?:\*\*)?(?:final\s+)?(?:answer|solution|result)s?\s*:?\s*(?:\*\*)?\s*$", re.IGNORECASE)
_VALUE = re.compile(r"[-+$€£\\(\[{*]*\s*(?:[0-9]|\.[0-9]|\\[a-z]|[A-Ja-j](?![A-Za-z]))")
_LEADS = re.compile(rf"(?<![A-Za-zÀ-ɏЀ-ӿ])(?:{LEAD.pattern})", re.IGNORECASE)
_SENTENCE_END = re.compile(r"(?<=[.!?。])(?:\*\*)?\s+|\n")
_FORMULA = re.compile(r"\$\$?([^$\n]+)\$\$?|\\\((.+?)\\\)|\\\[(.+?)\\\]", re.DOTALL)
_REMARK = re.compile(
    r"(?<=[.!?])\s*\((?:check|note|since|because|i\.e|here|this|that|we|as)\b[^()]*\)\s*$", re.IGNORECASE
)
_ITEM = re.compile(r"\s*[(\[]?[A-J][)\].:]\s*\S")
_LETTER = re.compile(r"[\s>*_#]*[(\[]?\s*([A-J])\s*[)\]]?\s*[.。)*]*\s*(?:\*\*)?")


def final_answer(text: str, grader: str = "math") -> str | None:
    """The final answer that a text states, in the form that the graders expect; None if it states none.

    Args:
        grader: name of the question's grader; it decides what is searched for if there is no marker.
    """
    said = _behind_thinking(text)
    if answers := tag_contents(said if said.strip() else text, "answer"):  # the answer may only be in the thinking
        return answers[-1]
    text = said
    if not text.strip():
        return None
    text = _before_next_question(text)
    if found := [b[0] for b in boxes(text) if b[0]]:
        return found[-1]
    if (marked := _behind_hashes(text)) is not None:
        return marked
    if (led := _behind_lead(text, grader)) is not None:
        return led
    return _last_of(text, grader)


def _behind_thinking(text: str) -> str:
    """The text after the last `</think>`; empty if the thinking never ends."""
    if "</think>" in text:
        return text.rpartition("</think>")[2]
    return text.partition("<think>")[0] if "<think>" in text else text


def _before_next_question(text: str) -> str:
    for match in _NEXT_QUESTION.finditer(text):
        if _ANSWERED.search(text, 0, match.start()):
            return text[: match.start()]
    return text


def _behind_hashes(text: str) -> str | None:
    """The line after the last `####` that is not a heading; after a heading "Final answer", the next line."""
    for match in reversed(list(_HASHES.finditer(text))):
        line = match[1].strip()
        if not line or _HEADING.fullmatch(line):
            following = [x.strip() for x in text[match.end() :].splitlines() if x.strip()]
            if following:
                return following[0]
        elif _VALUE.match(line):
            return line
        elif lead := LEAD.match(line):
            return line[lead.end() :].strip() or None
    return None


def _behind_lead(text: str, grader: str) -> str | None:
    """The rest of the sentence after the last lead, such as "the answer is"."""
    for match in reversed(list(_LEADS.finditer(text))):
        if (
            NEGATION.search(text[max(0, match.start() - 12) : match.start()])
            and "\n" not in text[match.start() - 3 : match.start()]
        ):
            continue
        start = match.end() - 1 if match[0].rstrip().endswith("(") else match.end()
        rest = text[start : start + LONGEST].strip().strip("*").lstrip(": \n")
        sentence = _SENTENCE_END.split(rest, maxsplit=1)[0].strip() if rest else ""
        if not sentence or LEAD.match(sentence):
            continue
        if grader in ("choice", "exact") or any(c.isdigit() or c in "\\$" for c in sentence) or len(sentence) <= 60:
            return sentence.strip("*").strip()
    return None


def _last_of(text: str, grader: str) -> str | None:
    """The answer at the end of a text without a marker."""
    text = _REMARK.sub("", text.strip())
    sentences = [s.strip() for s in _SENTENCE_END.split(text) if s.strip()]
    if not sentences:
        return None
    if grader == "choice":
        lines = text.splitlines()
        letters = [m[1] for s in lines if (m := _LETTER.fullmatch(s))]
        if not letters and len(lines) > 1 and all(_ITEM.match(s) for s in lines[-2:]):
            return "\n".join(lines[-2:])  # a list of options, of which none is picked
        return letters[-1] if letters else sentences[-1]
    with_numbers = [s for s in sentences if any(c.isdigit() for c in s)]
    last = (with_numbers or sentences)[-1]
    formulas = list(_FORMULA.finditer(last[-LONGEST:]))
    if grader == "math" and formulas and not NEGATION.search(last) and last.strip(" .") != formulas[-1][0]:
        return next(g for g in formulas[-1].groups() if g).strip()
    return last
