"""Loads the user's own functions, classes and objects, which a configuration names.

Three forms: "package.module.name" (as in `_target_`), "package.module:name" and "path/to/file.py:name". A relative path
starts at the working directory.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from corea.errors import UserError

FORMS = "module:name or file.py:name"


def load_object(key: str, name: str, *, allowed: str = "", kind: str = "object") -> Any:
    """The object that `name` stands for.

    Args:
        key: configuration key that holds the name, for messages.
        allowed: further values that the key accepts, for messages.
        kind: what the object is, for messages.

    Raises:
        UserError: the module or file does not exist or fails to import, or it holds no such object.
    """
    module_name, colon, attribute = name.rpartition(":")
    if not colon:
        module_name, _, attribute = name.rpartition(".")
    options = f"{allowed}, or {FORMS}" if allowed else FORMS
    if not module_name or not attribute:
        raise UserError(f"{key}={name}: allowed is {options}")
    try:
        module = load_file(module_name) if module_name.endswith(".py") else importlib.import_module(module_name)
    except Exception as error:  # importing runs the user's code, which may raise anything
        if module_name.startswith("corea.") and isinstance(error, ModuleNotFoundError):
            raise  # a missing extra of corea's own, which the command line explains
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise UserError(f"{key}={name}: {module_name} cannot be imported ({reason}); allowed is {options}") from error
    if not hasattr(module, attribute):
        raise UserError(f"{key}={name}: {module_name} has no {kind} {attribute}; allowed is {options}")
    return getattr(module, attribute)


def load_function(key: str, name: str, *, allowed: str = "") -> Any:
    """As `load_object`; also raises UserError where the object cannot be called."""
    function = load_object(key, name, allowed=allowed, kind="function")
    if not callable(function):
        raise UserError(f"{key}={name}: is a {type(function).__name__}; a function is required")
    return function


@cache
def load_file(path: str) -> ModuleType:
    """The module in a Python file, executed once per process.

    It is entered in sys.modules, where dataclasses and pickle look for it.

    Raises:
        FileNotFoundError: there is no such file.
    """
    file = Path(path).expanduser().absolute()
    if not file.is_file():
        raise FileNotFoundError(f"no file {path}")
    name = f"corea_user_{file.stem}_{hashlib.sha256(str(file).encode()).hexdigest()[:8]}"
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
