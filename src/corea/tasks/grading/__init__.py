"""Verdicts: is the parsed answer the gold one?

The other packages need only `grade`, `grade_many` and, before a run, `unreadable_warning`. Work of bounded cost is done
in this process; math-verify, the scorers of tasks and the user's functions run in worker processes with limits on time
and memory (`pool`).

    answer -> normal form -> number, expression, words, list or relation -> comparison -> verdict with a note
"""

from corea.tasks.grading.final_answer import final_answer
from corea.tasks.grading.golds import Unreadable, unreadable_golds, unreadable_warning
from corea.tasks.grading.graders import GRADERS, read_choice, read_number
from corea.tasks.grading.names import allowed_graders, known_grader
from corea.tasks.grading.pool import close_pool, set_limits
from corea.tasks.grading.verdicts import grade, grade_many

__all__ = [
    "GRADERS",
    "Unreadable",
    "allowed_graders",
    "close_pool",
    "final_answer",
    "grade",
    "grade_many",
    "known_grader",
    "read_choice",
    "read_number",
    "set_limits",
    "unreadable_golds",
    "unreadable_warning",
]
