"""corea: COllaborative REAsoner. Train a small model to know when it is right, and put it in front of a large one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from corea.version import __version__

if TYPE_CHECKING:
    from corea.python_api import Results, evaluate_table

__all__ = ["Results", "__version__", "evaluate_table"]


def __getattr__(name: str) -> Any:
    """Import the Python interface when it is first used, so that `import corea` takes no time."""
    if name in ("Results", "evaluate_table"):
        from corea import python_api

        return getattr(python_api, name)
    raise AttributeError(f"module corea has no attribute {name}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
