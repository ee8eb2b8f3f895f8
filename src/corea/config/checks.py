"""Checks of configuration values, declared beside each field and used by every schema.

`checked(0.2, above(0))` declares a field, its default and its allowed values; `check(self, "trainer.loss")` in
`__post_init__` applies the declarations. The configuration reference (corea.config.reference) prints them.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import MISSING, dataclass, field, fields
from typing import Any


@dataclass(frozen=True)
class Allowed:
    """The allowed values of a field."""

    words: str
    """The allowed values in words, for messages and the reference."""
    accepts: Callable[[Any], bool]
    options: tuple[str, ...] = ()
    """All allowed names, if the value is one of a list."""

    def hint(self, value: Any) -> str:
        """The closest allowed name, or nothing."""
        close = difflib.get_close_matches(str(value), self.options, n=1)
        return f"; did you mean {close[0]}?" if close else ""


def one_of(*options: str) -> Allowed:
    """One of a list of names."""
    return Allowed(", ".join(options), lambda value: value in options, options)


def at_least(low: float) -> Allowed:
    """Finite and >= `low`."""
    return Allowed(f"a number >= {low:g}", lambda value: low <= value < math.inf)


def above(low: float) -> Allowed:
    """Finite and > `low`."""
    return Allowed(f"a number > {low:g}", lambda value: low < value < math.inf)


def within(low: float, high: float) -> Allowed:
    """In [low, high]."""
    return Allowed(f"a number in [{low:g}, {high:g}]", lambda value: low <= value <= high)


def checked(
    default: Any = MISSING, allowed: Allowed | None = None, *, factory: Any = MISSING, each: bool = False
) -> Any:
    """A dataclass field whose value `check` tests; None passes. With `each`, the elements of a list are tested."""
    return field(default=default, default_factory=factory, metadata={"allowed": allowed, "each": each})


def existing(default: Any = None) -> Any:
    """A field of a root schema whose value, if given, must be an existing file or folder."""
    return field(default=default, metadata={"exists": True})


def check(config: Any, path: str) -> None:
    """Test every field of the dataclass `config` that `checked` declares; `path` is its key in a configuration.

    Raises:
        ValueError: "path.name=value: allowed is ...".
    """
    for spec in fields(config):
        allowed: Allowed | None = spec.metadata.get("allowed")
        value = getattr(config, spec.name)
        if allowed is None or value is None:
            continue
        for item in value if spec.metadata["each"] else [value]:
            key = f"{path}.{spec.name}" if path else spec.name
            require(allowed.accepts(item), key, item, allowed.words + allowed.hint(item))


def shown(value: Any) -> str:
    """`value` as a configuration and the command line write it: true, false, null, [a, b], {key: value}."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(shown, value))}]"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{shown(key)}: {shown(item)}' for key, item in value.items())}}}"
    return str(value)


def require(ok: bool, key: str, value: Any, allowed: str) -> None:
    """Raise ValueError "key=value: allowed is ..." unless `ok`."""
    if not ok:
        raise ValueError(f"{key}={shown(value)}: allowed is {allowed}")


def require_keys(key: str, given: Mapping[str, Any], allowed: Mapping[str, Any], what: str) -> None:
    """Raise ValueError unless every key of `given` is one of `allowed`; the message says "`what` for ..."."""
    unknown = sorted(given.keys() - allowed.keys())
    require(not unknown, key, unknown, f"{what} for " + ", ".join(allowed))


_describing: ContextVar[bool] = ContextVar("describing", default=False)


@contextmanager
def describing() -> Iterator[None]:
    """Inside, the default of a `nested` field is its class, so that OmegaConf describes schemas without building any.

    OmegaConf calls default factories when it describes a dataclass, and accepts the class in place of an instance.
    """
    token = _describing.set(True)
    try:
        yield
    finally:
        _describing.reset(token)


def nested(schema: type) -> Any:
    """A dataclass field that holds another schema with its defaults."""
    return field(default_factory=lambda: schema if _describing.get() else schema())
