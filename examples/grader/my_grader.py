"""A grader of your own: a number counts as correct when it is within 1 of the reference answer."""

from corea.types import Question


def nearly(question: Question, answer: str) -> bool | None:
    """True, False, or None for an answer that cannot be read. Runs in a worker process with limits on time and
    memory."""
    try:
        return abs(float(answer) - float(question.gold)) <= 1
    except ValueError:
        return None
