"""Responses of servers on disk, keyed by the whole request, so that nothing is paid for twice."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from corea.runtime import atomic_write


def request_key(request: dict[str, Any]) -> str:
    """SHA-256 of a request (server, body, number of the sample), without API key and headers."""
    return hashlib.sha256(json.dumps(request, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


class ResponseCache:
    """One file per response, written atomically."""

    def __init__(self, folder: str | None):
        """`folder` None: keep nothing."""
        self.folder = Path(folder).expanduser() if folder else None

    def get(self, request: dict[str, Any]) -> dict[str, Any] | None:
        """The entry of this request; None if there is none, or if it is damaged."""
        path = self._path(request)
        if path is None:
            return None
        try:
            entry = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        whole = isinstance(entry, dict) and entry.get("request") == request and isinstance(entry.get("response"), dict)
        return entry if whole and isinstance(entry.get("latency_s"), int | float) else None

    def put(
        self, request: dict[str, Any], response: dict[str, Any], latency_s: float, retries: dict[str, int] | None = None
    ) -> None:
        """Store a response; `retries`: tokens of failed attempts before it."""
        path = self._path(request)
        if path is None:
            return
        with atomic_write(path) as temporary:
            entry = {"request": request, "response": response, "latency_s": latency_s, "retries": retries or {}}
            temporary.write_text(json.dumps(entry, ensure_ascii=False), encoding="utf-8")

    def _path(self, request: dict[str, Any]) -> Path | None:
        if self.folder is None:
            return None
        key = request_key(request)
        return self.folder / key[:2] / f"{key}.json"
