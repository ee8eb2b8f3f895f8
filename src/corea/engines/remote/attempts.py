"""What became of one call of a server, and how long to wait before the next."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from corea.engines.remote.usage import usage_of

FIRST_WAIT_S = 0.5
"""Doubled with every try."""
PASSING = frozenset({408, 409, 425, 429})
"""Statuses below 500 that another try may mend."""
HOPELESS = frozenset({401, 402, 403, 404, 405})
"""Statuses that every further question would meet too."""


@dataclass(kw_only=True, eq=False)
class Failure(Exception):
    """A call that brought no answer."""

    reason: str
    """In a few words, without anything secret."""
    again: bool = True
    """Another try may help."""
    hopeless: bool = False
    """No other question would fare better."""
    charged: bool = False
    """The server may have charged for it."""
    usage: tuple[int, int, int, int] | None = None
    """Tokens that the server counted for it (see usage_of): these it has charged for."""
    retry_after: float | None = None
    """Seconds that the server asks to wait."""

    def __str__(self) -> str:
        return self.reason


def status_failure(status: int, headers: Mapping[str, str], body: Any) -> Failure:
    """Of an HTTP status outside 2xx."""
    error = body.get("error", body) if isinstance(body, dict) else {}
    code = error.get("code") if isinstance(error, dict) else None
    message = error.get("message") if isinstance(error, dict) else None
    broke = code == "insufficient_quota"
    hopeless = status in HOPELESS or broke
    said = f": {' '.join(str(message).split())[:200]}" if message and status != 401 else ""  # a 401 may echo the key
    return Failure(
        reason=f"HTTP {status}{said}",
        again=not hopeless and (status in PASSING or status >= 500),
        hopeless=hopeless,
        usage=usage_of(body),
        retry_after=retry_after(headers),
    )


def retry_after(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Seconds from Retry-After (a number or an HTTP date) or retry-after-ms; None without a readable one."""
    for name, scale in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        value = headers.get(name)
        if value is None:
            continue
        try:
            seconds = float(value) / scale
        except ValueError:
            try:
                then = parsedate_to_datetime(value)
            except ValueError:
                continue
            then = then if then.tzinfo else then.replace(tzinfo=UTC)
            seconds = (then - (now or datetime.now(UTC))).total_seconds()
        if seconds == seconds:
            return max(0.0, seconds)
    return None


def wait_s(tries: int, failure: Failure, most: float) -> float | None:
    """Seconds before try number `tries` + 1: what the server asks for and up to a tenth more, else between half and all
    of a delay that doubles. None where the server asks for more than `most`."""
    if failure.retry_after is not None:
        return failure.retry_after * random.uniform(1.0, 1.1) if failure.retry_after <= most else None
    delay = min(most, FIRST_WAIT_S * 2 ** (tries - 1))
    return delay * random.uniform(0.5, 1.0)
