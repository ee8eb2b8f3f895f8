"""What the actors of all tiers share: the expenses, the reason to stop, and the units that are finished.

One actor beside the driver holds it (`shared_office`). The other actors reach the ledger through a `SharedLedger`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from corea.engines.remote.ledger import Ledger
from corea.errors import UserError

MARGIN_S = 60.0
"""A call that has not been settled for its time limit and this many seconds is that of a dead actor."""


class Office:
    """The shared state. Its methods are called by Ray, one at a time."""

    def __init__(self, ledgers: Mapping[str, tuple[Path, float | None, str]], finished: Path | None):
        """
        Args:
            ledgers: name -> (file, budget in dollars, key of the budget).
            finished: file with one line per finished unit; None: keep none.
        """
        self.given, self.finished = ledgers, finished
        self.ledgers: dict[str, Ledger] = {}
        self.deadlines: dict[tuple[str, int], float] = {}
        """(ledger, ticket) -> time at which the call counts as made by an actor that died."""
        self.reason: str | None = None
        self.questions, self.tokens = 0, 0

    def begin(self) -> str | None:
        """Open the files; returns why that is impossible."""
        try:
            for name, (path, budget, key) in self.given.items():
                self.ledgers[name] = Ledger(path, budget, key)
        except UserError as error:
            return str(error)
        return None

    def close(self) -> None:
        """Close the files, so that another process can open them."""
        for ledger in self.ledgers.values():
            ledger.close()

    def reserve(self, name: str, usd: float, seconds: float) -> tuple[int | None, float, float]:
        """(ticket or None, dollars spent, dollars reserved) for a call that takes at most `seconds`."""
        ledger = self.ledgers[name]
        self._expire(name)
        ticket = ledger.reserve(usd)
        if ticket is not None:
            self.deadlines[name, ticket] = time.monotonic() + seconds + MARGIN_S
        return ticket, ledger.spent, ledger.held

    def settle(self, name: str, ticket: int, usd: float, request: str, lost: tuple[int, int] | None) -> float:
        """Dollars spent after a call has ended. One that was given up counts in full already."""
        if self.deadlines.pop((name, ticket), None) is not None:
            self.ledgers[name].settle(ticket, usd, request, lost)
        return self.ledgers[name].spent

    def retries(self, name: str, request: str) -> dict[str, int]:
        """As Ledger.retries."""
        return self.ledgers[name].retries(request)

    def _expire(self, name: str) -> None:
        now = time.monotonic()
        for (ledger, ticket), deadline in list(self.deadlines.items()):
            if ledger == name and now > deadline:
                del self.deadlines[ledger, ticket]
                self.ledgers[name].settle(ticket, self.ledgers[name].open[ticket])

    def stop(self, reason: str) -> None:
        """Let every actor return its next units unanswered. The first reason is kept."""
        self.reason = self.reason or reason

    def stopped(self) -> str | None:
        """Why no unit is answered any more; None: they are."""
        return self.reason

    def finish(self, unit: int, pieces: list[int], questions: int, whole: bool) -> None:
        """Record that the rows of a unit lie in the pieces of these tiers; not `whole`: some are to be asked again."""
        if self.finished is not None:
            with open(self.finished, "a", encoding="utf-8") as file:
                file.write(json.dumps({"unit": unit, "pieces": pieces, "whole": whole}) + "\n")
        self.answered(questions, 0)

    def answered(self, questions: int, tokens: int) -> None:
        """Count for the progress."""
        self.questions += questions
        self.tokens += tokens

    def progress(self) -> tuple[int, int, float | None]:
        """(questions, tokens, dollars spent of all ledgers) so far."""
        return self.questions, self.tokens, sum(ledger.spent for ledger in self.ledgers.values())


@contextmanager
def shared_office(ledgers: Mapping[str, tuple[Path, float | None, str]], finished: Path | None = None) -> Iterator[Any]:
    """The handle of an Office on this node; at the end its files are closed.

    Raises:
        UserError: another process spends from one of the ledgers, or one is damaged; or the actors have stopped.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    office = ray.remote(Office).options(num_cpus=0, scheduling_strategy=here).remote(dict(ledgers), finished)
    if (reason := ray.get(office.begin.remote())) is not None:
        raise UserError(reason)
    try:
        yield office
        reason = ray.get(office.stopped.remote())
    finally:
        ray.get(office.close.remote())
    if reason is not None:
        raise UserError(reason)


class SharedLedger(Ledger):
    """The ledger `name` of an office, for an engine in another process."""

    def __init__(self, office: Any, name: str, budget: float | None, key: str, seconds: float):
        """`seconds`: the longest that a call can take."""
        super().__init__(None, budget, key)
        self.office, self.name, self.seconds = office, name, seconds

    def reserve(self, usd: float) -> int | None:
        """As Ledger.reserve."""
        ticket, self.spent, self.held = self._ask(self.office.reserve, usd, self.seconds)
        self.open = {0: self.held} if self.held else {}  # of all actors: an engine waits as long as there are some
        return ticket

    def settle(self, ticket: int, usd: float, request: str = "", lost: tuple[int, int] | None = None) -> None:
        """As Ledger.settle."""
        self.spent = self._ask(self.office.settle, ticket, usd, request, lost)

    def retries(self, request: str) -> dict[str, int]:
        """As Ledger.retries."""
        return self._ask(self.office.retries, request)

    def _ask(self, method: Any, *arguments: Any) -> Any:
        import ray

        return ray.get(method.remote(self.name, *arguments))
