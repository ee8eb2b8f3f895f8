"""Ctrl-C and SIGTERM as wishes that the loop grants at the next safe point."""

from __future__ import annotations

import signal
import threading
from types import FrameType

from corea.rl.run.distributed import gather


class StopRequest:
    """While active, the first SIGINT or SIGTERM is remembered; a second SIGINT interrupts at once."""

    def __init__(self) -> None:
        self.received: int | None = None
        self._before: dict[int, object] = {}

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._remember)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _remember(self, number: int, frame: FrameType | None) -> None:
        if self.received is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.received = number

    def agreed(self) -> int | None:
        """The signal that any process has received; the same answer in all of them."""
        return next((number for number in gather(self.received) if number is not None), None)
