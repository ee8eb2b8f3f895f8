"""Mathematical equality. Forms that the readers of this package can read are judged in this process, within bounds.

    text -> reading/normal.py: normal form -> reading/forms.py: number with unit, expression, list, relation, words
         -> equality/comparing.py: one rule for each kind of gold

Equal text is right at once. Two numbers are compared as exact fractions. The answer may omit the unit; a unit of the
same dimension is converted; another one is wrong. equality/numbers.py states the rules for rounding, percent and units
in full. Two expressions with variables are equal if they agree at fixed points (equality/values.py).

math-verify (https://github.com/huggingface/Math-Verify) judges the rest: golds with sums and integrals, and, with
data.grading.unevaluated=right, answers with sums and integrals. It may take any amount of time and memory, so it
only runs in a worker, which has limits. Its own time limit is an alarm signal, which only the main thread can set.
"""

from __future__ import annotations

import re
from functools import lru_cache

from corea.tasks.grading.equality.comparing import compare
from corea.tasks.grading.equality.findings import Terms
from corea.tasks.grading.reading.asked import asked
from corea.tasks.grading.reading.forms import read_form
from corea.tasks.grading.reading.normal import normal, squeezed, strip_end
from corea.tasks.grading.reading.prose import boxed_answer, sentence_answer, without_lead
from corea.tasks.grading.reading.shapes import Form, Words
from corea.tasks.grading.reading.tables import words
from corea.tasks.grading.reading.tokens import Unevaluated, Unread
from corea.tasks.grading.rulings import CORRECT, unevaluated, unparsed, unreadable_gold, wrong
from corea.types import Question, Verdict

MAX_WORDS = 12
"""A gold of more words is prose, which cannot be compared with an answer."""
WORKER = "it contains a form that is not evaluated"
_BRACED = re.compile(r"\{(\w)\}")
_LETTERS = re.compile(r"(?<![\\A-Za-z])[A-Za-z]{2,}")
_KNOWN = frozenset(words("sin cos tan cot sec csc log ln exp sqrt lim max min dx dy dt dz pi"))


_DOLLARS = re.compile(r"^([^\w$\\]*)(\\\$|\$)(?=\s*-?[0-9.])")


def dollars(text: str) -> str:
    """Write `\\$5` and `$5` as `USD 5`; dollar signs around a formula stay."""
    match = _DOLLARS.match(text.strip())
    if match is None or (match[2] == "$" and text.replace("\\$", "").count("$") % 2 == 0):
        return text
    return f"{match[1]} USD {text.strip()[match.end() :]}"


@lru_cache(maxsize=4096)
def gold_text(gold: str) -> str:
    """The gold answer in normal form; of a GSM8K solution, the text after `####`."""
    return without_lead(normal(dollars(gold.rpartition("####")[2])))


@lru_cache(maxsize=4096)
def _gold_form(gold: str, question: str) -> Form | str:
    """The form of a gold, or the reason why it has none; WORKER: math-verify must read it."""
    text = gold_text(gold)
    if not text:
        return "it is empty"
    try:
        form = read_form(text, asked(question), True)
    except Unevaluated:
        return WORKER
    except Unread as error:
        return str(error)
    except RecursionError:
        return "it is too deeply nested"
    if isinstance(form, Words) and len(form.text.split()) > MAX_WORDS:
        return f"it is prose of more than {MAX_WORDS} words"
    return form


def answer_text(answer: str) -> str:
    """An answer in normal form, without introductory words."""
    return strip_end(sentence_answer(without_lead(normal(dollars(answer)))))


def quick_math(question: Question, answer: str) -> Verdict | None:
    """The verdict; None: math-verify must judge, in a worker."""
    gold = _gold_form(question.gold, question.text)
    if not gold_text(question.gold):
        return unreadable_gold(question.gold, "it is empty")
    core, why = boxed_answer(answer)
    if core is None:
        return unparsed(why)
    text = answer_text(core)
    if not text:
        return unparsed("an empty answer")
    if _same_text(text, gold_text(question.gold)):
        return CORRECT
    if isinstance(gold, str):
        return _opaque(question, gold, text)
    terms = Terms(asked=asked(question.text), unevaluated=unevaluated())
    try:
        found = compare(gold, read_form(text, terms.asked), terms)
    except Unevaluated as error:
        return (
            None if terms.unevaluated == "right" and not _strange(text, "") else wrong(f"{error} that is not evaluated")
        )
    except Unread as error:
        return unparsed(f"cannot be read: {error}")
    except RecursionError:
        return unparsed("too deeply nested")
    except ArithmeticError:
        return unparsed("has no value that can be computed")
    return CORRECT if found.right else wrong(found.note)


def _strange(text: str, gold: str) -> set[str]:
    """Words of an answer that are neither functions nor words of the gold."""
    return {w for w in _LETTERS.findall(text) if w.casefold() not in _KNOWN} - set(_LETTERS.findall(gold))


def _opaque(question: Question, why: str, text: str) -> Verdict | None:
    """Verdict if the readers cannot read the gold: by equal text, else by math-verify if it has a sum or the like."""
    gold = gold_text(question.gold)
    if why != WORKER:
        return unreadable_gold(question.gold, why)
    if strange := _strange(text, gold):
        return unparsed(f"cannot be read: the word {min(strange)[:30]!r}")
    return None


def _same_text(one: str, other: str) -> bool:
    """Equal text, ignoring redundant spaces and braces around one character: `\\pmod{5}` is `\\pmod 5`."""
    if squeezed(one) == squeezed(other):
        return True
    return "{" in one + other and squeezed(_BRACED.sub(r" \1", one)) == squeezed(_BRACED.sub(r" \1", other))


@lru_cache(maxsize=4096)
def parsed(text: str) -> list:
    """What math-verify reads in a text in normal form; empty if nothing."""
    from math_verify import parse

    return parse(f"\\boxed{{{text}}}", parsing_timeout=None, raise_on_error=True)


def math(question: Question, answer: str) -> Verdict:
    """Mathematical equality, including by math-verify. May take any time and memory: for a worker of the pool."""
    quick = quick_math(question, answer)
    if quick is not None:
        return quick
    from math_verify import verify

    gold = gold_text(question.gold)
    wanted = _parsed_or_nothing(gold)
    if not _has_expression(wanted):
        return unreadable_gold(question.gold, "neither our readers nor math-verify know its form")
    core, _ = boxed_answer(answer)
    given = _parsed_or_nothing(answer_text(core or ""))
    if not _has_expression(given):
        return unparsed("cannot be read as mathematics")
    if verify(wanted, given, float_rounding=12, numeric_precision=30, timeout_seconds=None, raise_on_error=True):
        return CORRECT
    return wrong("not equal to the gold by math-verify")


def _parsed_or_nothing(text: str) -> list:
    try:
        return parsed(text)
    except MemoryError:
        raise
    except Exception:  # the parser may raise anything on text that a model wrote
        return []


def _has_expression(found: list) -> bool:
    """Whether math-verify found an expression; it also returns the plain text."""
    return any(not isinstance(item, str) for item in found)


def warm_up() -> None:
    """Build math-verify's grammars. The first call takes seconds, which must not count against an answer's limit."""
    from math_verify import parse, verify

    verify(
        parse("\\boxed{\\sqrt{2}}", parsing_timeout=None),
        parse("\\boxed{2^{1/2}}", parsing_timeout=None),
        timeout_seconds=None,
    )
