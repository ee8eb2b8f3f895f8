"""The user's own graders: "module:function" or "path/to/file.py:function", called as function(question, answer).

`question` is a corea.types.Question, `answer` the text of the answer tag. True (or 1.0) means correct, None means that
the answer cannot be read, anything else means wrong; an exception gives the outcome "error".
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from corea import user_code
from corea.config.allowed_names import GRADERS
from corea.types import Question


@lru_cache(maxsize=64)
def load_function(name: str) -> Callable[[Question, str], bool | None]:
    """Import the function.

    Raises:
        UserError: there is no such module, file or function, or importing it fails.
    """
    return user_code.load_function("grader", name, allowed=", ".join(GRADERS))
