"""Stop on SIGINT or SIGTERM at the next safe point."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any

from corea.rl.run.distributed import gather


class StopRequest:
    """While active, remembers the first SIGINT or SIGTERM; a second SIGINT interrupts immediately."""

    def __init__(self) -> None:
        self.received: int | None = None
        """Number of the signal that this process received."""
        self._before: dict[int, Any] = {}

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._remember)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _remember(self, number: int, frame: FrameType | None) -> None:
        if self.received is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.received = number

    def received_by_any(self) -> int | None:
        """The signal that any process has received; every process gets the same answer."""
        return next((number for number in gather(self.received) if number is not None), None)
