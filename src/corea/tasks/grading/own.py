"""Graders of the user's: "module:function" or "path/to/file.py:function", called as function(question, answer).

`question` is a corea.types.Question, `answer` the text of the answer tag. True (or 1.0) means correct, None that the
answer cannot be read, everything else wrong; an exception is the outcome "error".
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from corea.types import Question


@lru_cache(maxsize=64)
def load_function(name: str) -> Callable[[Question, str], bool | None]:
    """Import the function.

    Raises:
        ValueError: there is no such module, file or function, or importing it fails.
    """
    module_name, _, function_name = name.rpartition(":")
    try:
        module = _load_file(module_name) if module_name.endswith(".py") else importlib.import_module(module_name)
    except Exception as error:  # whatever the user's module does when it is imported
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise ValueError(f"grader={name}: {module_name} cannot be imported ({reason})") from error
    function = getattr(module, function_name, None)
    if not callable(function):
        raise ValueError(f"grader={name}: {module_name} has no function {function_name}")
    return function


def _load_file(path: str):
    file = Path(path)
    if not file.is_file():
        raise FileNotFoundError(f"no file {path}")
    spec = importlib.util.spec_from_file_location(f"corea_grader_{file.stem}", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
