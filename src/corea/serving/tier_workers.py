"""Runs all tiers at the same time: each answers the questions that the tiers before it have deferred so far.

    open routes ─► tier 0 ─► deferred ─► tier 1 ─► deferred ─► tier 2
                     │                     │                     │
                     └──── answers go into the store of the tier, then the route decides

Every tier has a thread, an inbox and a store. A route only moves to larger tiers, so a tier is done when the one before
it is done and its inbox is empty.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from queue import Empty, SimpleQueue
from typing import Protocol

from corea.cascade.decision import Reason
from corea.collecting.confidence_signals import note, to_record
from corea.collecting.plan import Tier, question_key
from corea.config.engine_schema import OpenAIEngineConfig
from corea.config.live_schema import LivePolicyConfig
from corea.engines.remote.ledger import BudgetReached
from corea.errors import UserError
from corea.serving.route import Route, read_answer
from corea.tasks.prompts import build_messages
from corea.types import Completion, Engine, Sampling

END = None
"""In an inbox: the tier before is done."""


class AnswerStore(Protocol):
    """Answers of one tier, by the key of the question and the sample."""

    def has(self, question: str, samples: int) -> bool: ...
    def get(self, question: str, sample: int) -> Completion: ...
    def add(self, answers: Iterable[tuple[str, list[Completion]]]) -> None: ...


class TierWorker:
    """Answers batches of routes with one tier, and keeps the answers."""

    def __init__(self, tier: Tier, store: AnswerStore, policy: LivePolicyConfig):
        self.tier, self.store, self.policy = tier, store, policy
        self.engine: Engine | None = None
        self.exhausted = False
        """The budget is reached, and the policy is to go on without this tier."""
        self.sampling = Sampling(
            temperature=tier.temperature,
            max_tokens=tier.max_tokens,
            n=tier.samples,
            seed=tier.seed,
            record=to_record(tier.signals, isinstance(tier.engine, OpenAIEngineConfig)),
        )

    def knows(self, route: Route) -> bool:
        """Whether the store holds the answer to a question."""
        return self.store.has(question_key(route.question), self.tier.samples)

    def recall(self, route: Route) -> None:
        """Hand a stored answer to a route."""
        key = question_key(route.question)
        self._give(route, [self.store.get(key, sample) for sample in range(self.tier.samples)])

    def ask(self, routes: Sequence[Route]) -> None:
        """Answer the routes' questions, store the answers, and let the routes decide.

        Raises:
            UserError: no further call makes sense; answers so far are stored.
        """
        if self.exhausted:
            self._without_budget(routes)
            return
        assert self.engine is not None, "the engine is built before the first question"
        groups = self.engine.generate([build_messages(self.tier.prompt, r.question) for r in routes], self.sampling)
        note(self.tier, [completion for group in groups for completion in group])
        stopped = getattr(self.engine, "stopped", None)
        pairs = list(zip(routes, groups, strict=True))
        answered = [(r, g) for r, g in pairs if stopped is None or not any(c.finish_reason == "error" for c in g)]
        self.store.add((question_key(r.question), g) for r, g in answered)
        for route, group in answered:
            self._give(route, group)
        if stopped is not None:
            self._stop(stopped, [r for r in routes if r not in {route for route, _ in answered}])

    def _give(self, route: Route, group: Sequence[Completion]) -> None:
        route.take(read_answer(self.tier, route.question, group))

    def _stop(self, reason: UserError, left: Sequence[Route]) -> None:
        """The engine makes no further call: raise, or continue without it if the policy allows that."""
        if not isinstance(reason, BudgetReached) or self.policy.on_budget == "stop":
            raise reason
        self.exhausted = True
        self._without_budget(left)

    def _without_budget(self, routes: Sequence[Route]) -> None:
        for route in routes:
            if not route.fall_back(Reason.BUDGET):
                raise BudgetReached("budget_usd: reached, and no tier has answered before; give a larger budget")


def resume(workers: Mapping[int, TierWorker], routes: Sequence[Route]) -> None:
    """Advance every route by the stored answers."""
    for route in routes:
        while route.tier is not None and workers[route.tier].knows(route):
            workers[route.tier].recall(route)


def run_pipeline(
    workers: Mapping[int, TierWorker],
    routes: Sequence[Route],
    chunk: int,
    progress: Callable[[Sequence[Route]], None] = lambda batch: None,
) -> None:
    """Answer all `routes` that are not done, in batches of at most `chunk` questions.

    The longest questions come first, so that a prompt that does not fit fails at once. `progress` is called by the
    tiers' threads, one at a time, with each batch that a tier has answered.

    Raises:
        KeyboardInterrupt, UserError and others: of the first tier that failed; the others finish their batch.
    """
    line = [workers[tier] for tier in sorted(workers)]
    inboxes: dict[int, SimpleQueue[Route | None]] = {worker.tier.tier: SimpleQueue() for worker in line}
    for route in sorted(routes, key=lambda r: len(r.question.text), reverse=True):
        if route.tier is not None:
            inboxes[route.tier].put(route)
    stop, lock, errors = threading.Event(), threading.Lock(), []

    def work(place: int) -> None:
        worker, ended = line[place], False
        try:
            while not ended and not stop.is_set():
                batch, ended = _batch(inboxes[worker.tier.tier], chunk)
                if not batch:
                    continue
                worker.ask(batch)
                for route in batch:
                    if route.tier is not None:
                        inboxes[route.tier].put(route)
                with lock:
                    progress(batch)
        except BaseException as error:  # handed to the main thread, KeyboardInterrupt included
            errors.append(error)
            stop.set()
        finally:
            if place + 1 < len(line):
                inboxes[line[place + 1].tier.tier].put(END)

    inboxes[line[0].tier.tier].put(END)
    threads = [threading.Thread(target=work, args=(n,), name=worker.tier.label) for n, worker in enumerate(line)]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    except KeyboardInterrupt:
        stop.set()
        for thread in threads:  # calls in progress are paid for: their answers are kept
            thread.join()
        raise
    if errors:
        raise errors[0]


def _batch(inbox: SimpleQueue[Route | None], most: int) -> tuple[list[Route], bool]:
    """(at least one route and at most `most`, whether the tier before is done)."""
    found: list[Route] = []
    item = inbox.get()
    while item is not END:
        found.append(item)
        if len(found) == most:
            return found, False
        try:
            item = inbox.get_nowait()
        except Empty:
            return found, False
    return found, True
