"""What a server says about an error: the message in a response body of any common form."""

from __future__ import annotations

import json
import re
from typing import Any

from corea.surrogates import without_surrogates

MOST = 200
"""Characters of a message."""
READ = 20_000
"""Characters of a body that are read for it."""
KEYS = (
    *("error", "errors", "detail", "details", "message", "msg", "error_message", "error_description"),
    *("description", "reason", "title", "code", "type"),
)
"""Keys that hold a message, the most telling first."""
ERROR_KEYS = ("error", "errors", "detail")
"""Keys of a body that is an error whatever its status says."""
TAGS = re.compile(r"<(script|style)\b.*?</\1\s*>|<[^<>]*>", re.DOTALL | re.IGNORECASE)


def parsed(text: str) -> Any:
    """The JSON value of a body without lone surrogates; the text itself if it is not JSON."""
    try:
        value = json.loads(text.removeprefix("\ufeff"))
        return value if text.isascii() and "\\u" not in text else without_surrogates(value)
    except (ValueError, RecursionError):
        return text


def error_text(body: Any) -> str:
    """The message of a parsed body, or of one that is no JSON (a string), in one line; "" if there is none.

    Forms: {"error": {"message": …}}, {"error": "…"}, {"detail": …} (FastAPI, also its list of fields), {"message": …},
    {"errors": […]}, HTML without its tags, plain text. Any other JSON value is shown itself.
    """
    found = _message(body, depth=5)
    if not found and body not in (None, "", [], {}):
        found = json.dumps(body, ensure_ascii=False)
    line = " ".join(TAGS.sub(" ", found[:READ]).split())
    return line if len(line) <= MOST else f"{line[: MOST - 1]}…"


def error_part(response: Any) -> Any:
    """The error in a response: beside its choices, in the first of them, or a `detail` without choices; else None."""
    if not isinstance(response, dict):
        return None
    choices = response.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    keys = ERROR_KEYS[:2] if choices else ERROR_KEYS
    places = [response.get(key) for key in keys] + ([first.get("error")] if isinstance(first, dict) else [])
    return next((place for place in places if place and _message(place, depth=5)), None)


def error_status(error: Any) -> int | None:
    """HTTP status that an error names as its code, e.g. {"code": 429, "message": …}; None if it names none."""
    for key in ("code", "status", "status_code"):
        value = error.get(key) if isinstance(error, dict) else None
        if isinstance(value, str) and value.isascii() and value.isdigit():
            value = int(value) if len(value) == 3 else None
        if isinstance(value, int) and 400 <= value < 600:
            return value
    return None


def _message(value: Any, depth: int) -> str:
    """The text of a message, found by KEYS; "" if there is none."""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value or "")
    if depth == 0:
        return ""
    if isinstance(value, list):
        return "; ".join(filter(None, (_message(v, depth - 1) for v in value[:3])))
    if not isinstance(value, dict):
        return ""
    found = next(filter(None, (_message(value.get(key), depth - 1) for key in KEYS)), "")
    place = value.get("loc")  # FastAPI: where in the request
    return f"{'.'.join(map(str, place))}: {found}" if isinstance(place, list) and place and found else found
