"""POST /v1/feedback: attaches a verdict to a served request, for the evaluation of the served log.

    {"request_id": "req-1", "correct": false}
    {"request_id": "req-1", "correct": "right", "tier": 0, "note": "..."}

Without `tier` the verdict is on the answer that was returned. The last verdict on a tier wins. Notes are kept only if
text may be logged. Needs the extra `serve`.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool

from corea.answers.served_format import FEEDBACK, PART, TAIL
from corea.answers.typed_columns import TRUTH

log = logging.getLogger(__name__)

LONGEST_BODY = 16 * 1024
"""Bytes."""
LONGEST_NOTE = 2000
"""Characters."""
VERDICTS = "true, false, or a word such as right and wrong"


class FeedbackError(Exception):
    """A request that cannot be accepted: HTTP status, message and code."""

    def __init__(self, status: int, message: str, code: str, param: str | None = None) -> None:
        super().__init__(message)
        kind = "server_error" if status >= 500 else "invalid_request_error"
        self.status, self.error = status, {"message": message, "type": kind, "param": param, "code": code}

    def response(self) -> JSONResponse:
        """In the shape of OpenAI's errors."""
        return JSONResponse({"error": self.error}, self.status)


class Feedback:
    """Verdicts on the requests of a served log, of all workers. Thread-safe."""

    def __init__(self, folder: Path | str, text: bool = False) -> None:
        """`text`: also keep notes."""
        self.folder, self.text = Path(folder), text
        self.known = KnownRequests(self.folder)

    def give(self, body: Any) -> dict[str, Any]:
        """Keep the verdict of a parsed body; returns what was kept. Raises FeedbackError."""
        entry = self._entry(body)
        if not self.known.has(entry["request_id"]):
            raise FeedbackError(404, "no request with this request_id", "request_not_found", "request_id")
        data = json.dumps({**entry, "time_s": time.time()}).encode() + b"\n"
        try:
            with open(self.folder / FEEDBACK, "ab", buffering=0) as file:
                if file.write(data) != len(data):
                    file.write(b"\n")  # ends the line that is cut off
                    raise OSError("no space left")
        except OSError as error:
            log.warning("%s: %s", self.folder / FEEDBACK, error)
            raise FeedbackError(503, "the verdict could not be stored", "not_stored") from error
        return entry

    def _entry(self, body: Any) -> dict[str, Any]:
        if not isinstance(body, dict):
            raise FeedbackError(400, "the body must be a JSON object", "invalid_body")
        request_id, tier, note = body.get("request_id"), body.get("tier"), body.get("note")
        if not isinstance(request_id, str) or not request_id:
            raise FeedbackError(400, "request_id: a text is required", "invalid_value", "request_id")
        correct = body.get("correct")
        if isinstance(correct, str):
            correct = {1.0: True, 0.0: False}.get(TRUTH.get(correct.strip().lower(), -1.0))
        if not isinstance(correct, bool):
            raise FeedbackError(400, f"correct: allowed is {VERDICTS}", "invalid_value", "correct")
        if tier is not None and (isinstance(tier, bool) or not isinstance(tier, int) or tier < 0):
            raise FeedbackError(400, "tier: allowed is the number of a tier", "invalid_value", "tier")
        if note is not None and not isinstance(note, str):
            raise FeedbackError(400, "note: allowed is a text", "invalid_value", "note")
        entry: dict[str, Any] = {"request_id": request_id, "correct": correct}
        entry |= {} if tier is None else {"tier": tier}
        return entry | ({"note": note[:LONGEST_NOTE]} if note and self.text else {})


def feedback_router(feedback: Feedback) -> APIRouter:
    """The route, without a check of who may use it: the server adds that."""
    router = APIRouter()

    @router.post("/v1/feedback")
    async def give(request: Request) -> JSONResponse:
        try:
            body = await _body(request)
            return JSONResponse({"object": "feedback", **await run_in_threadpool(feedback.give, body)})
        except FeedbackError as error:
            return error.response()

    return router


async def _body(request: Request) -> Any:
    data = b""
    async for part in request.stream():
        data += part
        if len(data) > LONGEST_BODY:
            raise FeedbackError(413, f"the body may have {LONGEST_BODY} bytes", "body_too_large")
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise FeedbackError(400, "the body is not JSON", "invalid_json") from error


class KnownRequests:
    """Whether a served log holds a request. Of each request 8 bytes are kept in memory; files are read once."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.lock = folder, Lock()
        self.parts: dict[str, np.ndarray] = {}
        """Name of a part -> sorted keys of its requests."""
        self.tails: dict[str, tuple[int, set[int]]] = {}
        """Name of a tail -> bytes that are read, and keys of their requests."""

    def has(self, request_id: str) -> bool:
        """True if any worker has logged the request."""
        key = _key(request_id)
        with self.lock:
            if self._found(key):
                return True
            self._read()
            return self._found(key)

    def _found(self, key: int) -> bool:
        if any(key in keys for _, keys in self.tails.values()):
            return True
        wanted = np.uint64(key)
        for keys in self.parts.values():
            place = int(np.searchsorted(keys, wanted))
            if place < len(keys) and keys[place] == wanted:
                return True
        return False

    def _read(self) -> None:
        """Read what is new: tails first, since one that becomes a part meanwhile is then found there."""
        tails = {}
        for path in self.folder.glob(f"{TAIL}*.jsonl"):
            offset, keys = self.tails.get(path.name, (0, set()))
            try:
                with open(path, "rb") as file:
                    file.seek(offset)
                    data = file.read()
            except OSError:
                continue
            whole = data[: data.rfind(b"\n") + 1]
            for line in whole.splitlines():
                try:
                    keys.add(_key(json.loads(line)["request_id"]))
                except (ValueError, KeyError, TypeError, AttributeError):
                    continue  # cut off by a full disk
            tails[path.name] = offset + len(whole), keys
        self.tails = tails
        for path in self.folder.glob(f"{PART}*.parquet"):
            if path.name not in self.parts:
                try:
                    names = pq.read_table(path, columns=["request_id"])["request_id"].to_pylist()
                except (OSError, pa.ArrowException):
                    continue
                self.parts[path.name] = np.sort(np.array([_key(name) for name in names], np.uint64))


def _key(request_id: str) -> int:
    return int.from_bytes(hashlib.blake2b(request_id.encode("utf-8", "replace"), digest_size=8).digest(), "big")
