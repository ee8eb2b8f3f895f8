"""A chat-completions server on loopback that answers, or fails in a given way, and keeps its own books."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

USAGE = {
    "prompt_tokens": 20,
    "completion_tokens": 10,
    "total_tokens": 30,
    "prompt_tokens_details": {"cached_tokens": 5},
    "completion_tokens_details": {"reasoning_tokens": 4},
}
FAULTS = ("429", "429_after", "500", "hang", "cut", "not_json", "html", "drip")
COUNTED = ("no_choices", "not_text", "500_usage")
"""Useless as an answer, with the tokens that they have cost."""
NOT_BILLED = ("429", "429_after", "500", "401", "404", "quota", "400", "422")


def response(body: dict, usage: dict | None = USAGE) -> dict:
    """Echoes the question as the answer."""
    text = f"<answer>{body['messages'][-1]['content']}</answer>"
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    made = {"id": "1", "object": "chat.completion", "model": body["model"], "choices": [choice]}
    return made | ({"usage": usage} if usage else {})


class FaultServer:
    """`fault(key, attempt)` names what becomes of the n-th request with that body; None answers it."""

    def __init__(self, fault: Callable[[str, int], str | None], retry_after: str = "0.05"):
        self.fault, self.retry_after = fault, retry_after
        self.requests: list[tuple[float, str, str | None]] = []
        """(time, key, fault) of each."""
        self.texts: dict[str, str] = {}
        """Question of each key."""
        self.headers: list[dict[str, str]] = []
        self.attempts: Counter[str] = Counter()
        self.under_way = self.most_under_way = 0
        self.lock = threading.Lock()
        self.stopping = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                try:
                    outer.serve(self)
                except (BrokenPipeError, ConnectionResetError):
                    self.close_connection = True

            def log_message(self, *args):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.thread = threading.Thread(target=self.http.serve_forever, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        self.http.shutdown()
        self.http.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http.server_port}/v1"

    @property
    def billed(self) -> list[str]:
        """Keys of the requests whose answer was made, delivered or not."""
        return [key for _, key, fault in self.requests if fault not in NOT_BILLED]

    def serve(self, handler) -> None:
        raw = handler.rfile.read(int(handler.headers["content-length"]))
        key = hashlib.sha256(raw).hexdigest()
        self.texts[key] = json.loads(raw)["messages"][-1]["content"]
        with self.lock:
            self.attempts[key] += 1
            fault = self.fault(key, self.attempts[key])
            self.requests.append((time.monotonic(), key, fault))
            self.headers.append({k.lower(): v for k, v in handler.headers.items()})
            self.under_way += 1
            self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            self.answer(handler, json.loads(raw), fault)
        finally:
            with self.lock:
                self.under_way -= 1

    def answer(self, handler, body: dict, fault: str | None) -> None:
        good = json.dumps(response(body, None if fault == "no_usage" else USAGE)).encode()
        if fault in ("429", "429_after"):
            extra = {"Retry_After": self.retry_after} if fault == "429_after" else {}
            self.send(handler, 429, b'{"error": {"message": "slow down"}}', **extra)
        elif fault in COUNTED:
            made = response(body)
            if fault == "not_text":
                made["choices"][0]["message"]["content"] = {"answer": 7}
            else:
                del made["choices"]
            self.send(handler, 500 if fault == "500_usage" else 200, json.dumps(made).encode())
        elif fault == "quota":
            self.send(handler, 429, b'{"error": {"message": "no money", "code": "insufficient_quota"}}')
        elif fault == "401":
            echo = handler.headers["authorization"].encode()
            self.send(handler, 401, b'{"error": {"message": "wrong key ' + echo + b'"}}')
        elif fault in ("400", "404", "500"):
            self.send(handler, int(fault), b'{"error": {"message": "as asked"}}')
        elif fault == "422":
            detail = [{"type": "extra", "loc": ["body", "seed"], "msg": "Extra inputs are not permitted", "input": 7}]
            self.send(handler, 422, json.dumps({"detail": detail}).encode())
        elif fault == "hang":
            self.stopping.wait(60)
            handler.close_connection = True
        elif fault == "cut":
            self.send(handler, 200, good[: len(good) // 2], length=len(good))
            handler.close_connection = True
        elif fault == "not_json":
            self.send(handler, 200, good[:-5])
        elif fault == "html":
            self.send(handler, 200, b"<html>busy</html>", content_type="text/html")
        elif fault == "drip":
            self.send(handler, 200, b"", length=len(good))
            for byte in good:
                handler.wfile.write(bytes([byte]))
                handler.wfile.flush()
                if self.stopping.wait(0.1):
                    return
        else:
            self.send(handler, 200, good, content_type="text/plain" if fault == "plain" else "application/json")

    def send(self, handler, status, payload, *, length=None, content_type="application/json", **headers) -> None:
        handler.send_response(status)
        handler.send_header("Content-Type", content_type)
        handler.send_header("Content-Length", str(len(payload) if length is None else length))
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(payload)
        handler.wfile.flush()
