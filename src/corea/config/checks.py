"""Range checks for configuration values, with messages a user can act on."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable
from dataclasses import field
from typing import Any


def existing(default: Any = None) -> Any:
    """A dataclass field of a root schema whose value, where given, must be an existing file or folder."""
    return field(default=default, metadata={"exists": True})


def require(ok: bool, key: str, value: Any, allowed: str) -> None:
    """Raise ValueError "key=value: allowed is ..." unless `ok`."""
    if not ok:
        raise ValueError(f"{key}={value}: allowed is {allowed}")


def one_of(key: str, value: Any, options: Iterable[str]) -> None:
    """`value` is one of `options`."""
    options = list(options)
    close = difflib.get_close_matches(str(value), options, n=1)
    hint = f"; did you mean {close[0]}?" if close else ""
    require(value in options, key, value, ", ".join(options) + hint)


def at_least(key: str, value: float | None, low: float) -> None:
    """`value` is None or finite and >= `low`."""
    require(value is None or low <= value < math.inf, key, value, f"a number >= {low:g}")


def above(key: str, value: float | None, low: float) -> None:
    """`value` is None or finite and > `low`."""
    require(value is None or low < value < math.inf, key, value, f"a number > {low:g}")


def within(key: str, value: float | None, low: float, high: float) -> None:
    """`value` is None or lies in [low, high]."""
    require(value is None or low <= value <= high, key, value, f"a number in [{low:g}, {high:g}]")
