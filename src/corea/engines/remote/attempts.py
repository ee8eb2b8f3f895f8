"""Failures of one call of a server, and the wait before the next attempt. paid_calls.py runs the attempts.

A status 408, 409, 425, 429 or 5xx is tried again, up to `tries` attempts. The wait is that of Retry-After, plus
up to a tenth; without the header 0.25 to 0.5 s, doubled with each attempt. If the server asks for more than
`max_wait_s`, or the budget of an account is used up (code insufficient_quota), the call fails at once.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from corea.engines.remote.error_text import error_part, error_status, error_text
from corea.engines.remote.usage import usage_of

FIRST_WAIT_S = 0.5
"""Wait after the first failure; doubled with every attempt."""
PASSING = frozenset({408, 409, 425, 429})
"""Statuses below 500 that may succeed when tried again."""
HOPELESS = frozenset({401, 402, 403, 404, 405})
"""Statuses that every further call would get too."""


@dataclass(kw_only=True, eq=False)
class Failure(Exception):
    """A call without an answer."""

    reason: str
    """Short reason, without secrets."""
    again: bool = True
    """Another attempt may succeed."""
    hopeless: bool = False
    """Calls for other questions would fail too."""
    charged: bool = False
    """The server may have charged for the call."""
    usage: tuple[int, int, int, int] | None = None
    """Tokens that the server counted and therefore charged for (see usage_of)."""
    retry_after: float | None = None
    """Seconds that the server asks the client to wait."""
    status: int | None = None
    """HTTP status of the response, or the one that its body names."""
    late: bool = False
    """The time limit was reached."""
    tries: int = 1
    """Attempts that were made."""

    def __str__(self) -> str:
        return self.reason


def status_failure(status: int, headers: Mapping[str, str], body: Any, *, under: int | None = None) -> Failure:
    """The Failure of an HTTP status outside 2xx, with what the body (parsed, or else its text) says.

    `under`: the status that the response really had, if `status` only stands in its body.
    """
    error = body.get("error", body) if isinstance(body, dict) else {}
    code = error.get("code") if isinstance(error, dict) else None
    hopeless = status in HOPELESS or code == "insufficient_quota"
    said = "" if status == 401 else error_text(body)  # the body of a 401 may repeat the key
    where = f"HTTP {status}" if under is None else f"HTTP {under} with error {status}"
    return Failure(
        reason=f"{where}: {said}" if said else where,
        again=not hopeless and (status in PASSING or status >= 500),
        hopeless=hopeless,
        usage=usage_of(body),
        retry_after=retry_after(headers),
        status=status,
    )


def answer_failure(response: Any) -> Failure:
    """The Failure of a response under status 2xx without an answer, with what it says instead."""
    error, usage = error_part(response), usage_of(response)
    if error is None:
        said = error_text(response)
        what = "a response that is not JSON" if isinstance(response, str) else "a response without an answer"
        return Failure(reason=f"{what}: {said}" if said else what, charged=True, usage=usage)
    status = error_status(error)
    if status is not None:
        failure = status_failure(status, {}, {"error": error, "usage": response.get("usage")}, under=200)
    else:
        failure = Failure(reason=f"HTTP 200 with an error: {error_text(error)}", usage=usage)
    failure.charged = bool(response.get("choices"))  # it had begun to answer
    return failure


def retry_after(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Seconds from Retry-After (a number or an HTTP date) or retry-after-ms; None if neither is readable."""
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
    """Seconds to wait after attempt number `tries`.

    Up to a tenth more than the server asks for; without such a request, 50 to 100 % of a delay that doubles. None if
    the server asks for more than `most` seconds.
    """
    if failure.retry_after is not None:
        return failure.retry_after * random.uniform(1.0, 1.1) if failure.retry_after <= most else None
    delay = min(most, FIRST_WAIT_S * 2 ** (tries - 1))
    return delay * random.uniform(0.5, 1.0)
