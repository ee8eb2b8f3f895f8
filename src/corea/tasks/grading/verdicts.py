"""From parsed completions to verdicts, in batches: cheap answers in this process, the others in the pool."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from corea.display import progress
from corea.errors import UserError
from corea.tasks.grading.graders import GRADERS, MAX_ANSWER, gym_task
from corea.tasks.grading.mathematics import quick_math
from corea.tasks.grading.names import LIGHT, allowed_graders, known_grader
from corea.tasks.grading.pool import Job, shared_pool
from corea.tasks.grading.rulings import unparsed, verdict, wrong
from corea.types import Outcome, Parsed, Question, Status, Verdict

PENDING = Verdict(outcome=Outcome.ERROR, correct=None, note="not graded yet")
"""Stands for a verdict until the pool returns it."""
LIGHT_TASKS = ("chain_sum", "decimal_chain_sum", "products", "spell_backward")
"""reasoning-gym tasks whose scorer only compares decimals or letters; tasks without a scorer compare text."""


def grade(question: Question, parsed: Parsed) -> bool | None:
    """Whether the answer is correct; one that is missing, unreadable or not graded in time is not correct.

    Returns:
        None if there is nothing to judge because the engine failed (status error).

    Raises:
        UserError: the question names an unknown grader.
    """
    return grade_many([question], [parsed])[0].correct


def grade_many(
    questions: Sequence[Question | str],
    parsed: Sequence[Parsed | str | None],
    grader: str = "math",
    shown: str | None = None,
) -> list[Verdict]:
    """Judge many answers; those that need a worker run in parallel.

    Args:
        questions: one per answer; a plain string is a gold answer for `grader`.
        parsed: parsed completions, or plain answers (None: no answer).
        shown: label of a progress bar; None: no bar.

    Returns:
        Verdicts in the order of the answers.

    Raises:
        UserError: a question names an unknown grader.
    """
    verdicts: list[Verdict] = []
    jobs: list[Job] = []
    places: dict[object, list[int]] = {}  # positions of each job: equal answers are judged once
    for asked, given in zip(questions, parsed, strict=True):
        question = _question(asked, grader) if isinstance(asked, str) else asked
        known = _at_once(question, given)
        if known is None:
            known = PENDING
            answer = (given.answer if isinstance(given, Parsed) else given) or ""
            key = (question.text, question.gold, answer) if question.grader == "math" else len(verdicts)
            if key not in places:
                jobs.append(Job(index=len(jobs), grader=question.grader, question=question, answer=answer))
            places.setdefault(key, []).append(len(verdicts))
        verdicts.append(known)
    if jobs:
        if shown is None:
            found = shared_pool().run(jobs)
        else:
            with progress(shown, len(jobs)) as bar:
                found = shared_pool().run(jobs, bar.update)
        for number, indices in enumerate(places.values()):
            for index in indices:
                verdicts[index] = found[number]
    return verdicts


def _question(gold: str, grader: str) -> Question:
    return Question(id="?", dataset="", source="", split="", text="", gold=gold, grader=grader)


def _at_once(question: Question, given: Parsed | str | None) -> Verdict | None:
    """The verdict if no worker is needed, else None."""
    if not known_grader(question.grader):
        raise UserError(f"question {question.id}: grader={question.grader}: allowed is {allowed_graders()}")
    if isinstance(given, Parsed):
        if given.status is Status.ERROR:
            return Verdict(outcome=Outcome.ERROR, correct=None, note="the engine failed")
        given = given.answer
    if given is None:
        return unparsed("no answer")
    if len(given) > MAX_ANSWER:
        return wrong(f"longer than {MAX_ANSWER} characters")
    if question.grader == "math":
        return quick_math(question, given)
    if question.grader in LIGHT or (question.grader == "reasoning_gym" and _light_task(question.meta["task"])):
        return _judged(question, given)
    return None


@lru_cache(maxsize=256)
def _light_task(name: str) -> bool:
    from reasoning_gym.factory import ProceduralDataset

    return name in LIGHT_TASKS or type(gym_task(name)).score_answer is ProceduralDataset.score_answer


def _judged(question: Question, answer: str) -> Verdict:
    try:
        return GRADERS[question.grader](question, answer)
    except (ValueError, ArithmeticError) as error:
        return verdict(Outcome.ERROR, f"the grader failed: {type(error).__name__}: {error}")
