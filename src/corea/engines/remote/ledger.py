"""Expenses of calls, and a budget that they cannot exceed.

Before each call its maximum cost is reserved; afterwards it is settled at the actual cost. The file holds one line for
each. If a process is killed, its open reservations count in full at the next start, because the server may have charged
for those calls. A failed call whose tokens the server counted is recorded with its request, so that the final answer,
perhaps after a restart, includes the cost of its failed attempts.
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from corea.errors import UserError
from corea.types import RETRIES


class BudgetReached(UserError):
    """No further call fits into the budget."""


class Ledger:
    """Dollars spent and reserved. Only one process at a time can open the file; its threads may share a ledger."""

    def __init__(self, path: Path | None, budget: float | None = None, key: str = "llm.budget_usd"):
        """`path` None: keep the amounts only in memory. `budget` None: no limit. `key`: where it is configured."""
        self.budget, self.key = budget, key
        self.spent = 0.0
        """Settled amounts, and those that an earlier process left unsettled."""
        self.held = 0.0
        """Reserved for calls in progress."""
        self.open: dict[int, float] = {}
        self.lost: dict[str, tuple[int, int]] = {}
        """Request -> (prompt tokens, completion tokens) of failed attempts that the server counted."""
        self.number = 0
        self.descriptor: int | None = None
        self.lock = threading.Lock()
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            self.descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
            try:
                fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                os.close(self.descriptor)
                raise UserError(f"{path}: another process is spending from this budget") from error
            self._read(path)

    def reserve(self, usd: float) -> int | None:
        """Reserve a call of at most `usd` dollars; returns its ticket, or None if the budget does not allow it now."""
        with self.lock:
            if self.budget is not None and self.spent + self.held + usd > self.budget:
                return None
            self.number += 1
            self.open[self.number] = usd
            self.held += usd
            self._write({"ticket": self.number, "reserved": usd})
            return self.number

    def reached(self, usd: float) -> BudgetReached:
        """The error for a call of at most `usd` dollars that the budget does not allow."""
        return BudgetReached(
            f"{self.key}={self.budget:g}: reached; {self.spent:.4f} dollars are spent and the next call may cost "
            f"{usd:.4f}. Answers so far are kept: the same command with a larger budget continues"
        )

    def settle(self, ticket: int, usd: float, request: str = "", lost: tuple[int, int] | None = None) -> None:
        """Record that the call of `ticket` cost `usd`; `lost`: counted tokens of a failed attempt at `request`."""
        entry: dict[str, Any] = {"ticket": ticket, "spent": usd}
        with self.lock:
            if lost is not None:
                self._lose(request, lost)
                entry |= {"request": request, "lost": lost}
            self._write(entry)
            self.held -= self.open.pop(ticket)
            self.held = self.held if self.open else 0.0
            self.spent += usd

    def close(self) -> None:
        """Close the file, so that another process can open it."""
        if self.descriptor is not None:
            os.close(self.descriptor)
            self.descriptor = None

    def retries(self, request: str) -> dict[str, int]:
        """Entries of Completion.extra about failed attempts at `request`; empty if none cost counted tokens."""
        return dict(zip(RETRIES, self.lost[request], strict=True)) if request in self.lost else {}

    def forget(self, request: str) -> None:
        """Drop what is known of failed attempts at a request that has ended and will not be made again."""
        self.lost.pop(request, None)

    def _lose(self, request: str, tokens: Sequence[int]) -> None:
        prompt, completion = self.lost.get(request, (0, 0))
        self.lost[request] = (prompt + tokens[0], completion + tokens[1])

    def _write(self, entry: dict[str, Any]) -> None:
        if self.descriptor is not None:
            os.write(self.descriptor, (json.dumps(entry) + "\n").encode())

    def _read(self, path: Path) -> None:
        """Read the expenses of earlier processes; reservations without a settlement count in full."""
        assert self.descriptor is not None
        whole = 0
        reserved: dict[int, float] = {}
        with open(path, "rb") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    break  # truncated: the call had not started
                whole += len(line)
                entry = _entry(line, path)
                if "reserved" in entry:
                    reserved[int(entry["ticket"])] = entry["reserved"]
                else:
                    reserved.pop(int(entry["ticket"]), None)
                    self.spent += entry["spent"]
                    if "lost" in entry:
                        self._lose(entry["request"], entry["lost"])
                self.number = max(self.number, int(entry["ticket"]))
        os.ftruncate(self.descriptor, whole)
        for ticket, usd in reserved.items():
            self._write({"ticket": ticket, "spent": usd})
            self.spent += usd


KINDS = ({"ticket", "reserved"}, {"ticket", "spent"}, {"ticket", "spent", "request", "lost"})
"""Keys that a line may have."""


def _entry(line: bytes, path: Path) -> dict[str, Any]:
    try:
        entry = json.loads(line)
        if entry.keys() in KINDS:
            return entry
    except (ValueError, AttributeError):
        pass
    raise UserError(f"{path}: a damaged line, so the amount spent is unknown; repair it or use another folder")
