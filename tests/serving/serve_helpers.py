"""A real server of the cascade in a thread, upstreams that stream and fail as told, and small operating points."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import live_helpers as live
import openai

from corea.collecting.plan import Tier
from corea.composition import compose
from corea.config import OpenAIEngineConfig, OwnEngineConfig
from corea.serving.chat_requests import read_request
from corea.serving.journey import Journey
from corea.serving.live_service import CascadeService
from corea.serving.serve_setup import build_service, plan_serving
from corea.serving.server_process import built_server, listen
from corea.serving.upstream_client import open_client
from corea.types import Completion
from fault_server import USAGE, FaultServer

POINT = {"sums": {"signal": "verbalized", "thresholds": [0.5]}}
PROMPT_TOKENS, NEW_TOKENS = 3, 5


class EchoEngine:
    """Answers "7 sure" with <answer>7</answer> and confidence 0.9, "7 unsure" with 0.1; other last words fail or wait.

    "silent": no confidence; "truncated"; "broken": an error completion; "raises"; "slow N": after N seconds.
    """

    def __init__(self, model: str, **_):
        self.model_name = model
        self.batches: list[list[str]] = []

    def generate(self, prompts, sampling, progress=None):
        texts = [p[-1]["content"] for p in prompts]
        self.batches.append(texts)
        if any("raises" in text for text in texts):
            raise ZeroDivisionError(texts[0])
        for text in texts:
            if "slow" in text:
                time.sleep(float(text.split("slow")[1].split()[0]))
        return [[self._completion(text) for _ in range(sampling.n)] for text in texts]

    def _completion(self, text: str) -> Completion:
        value, *words = text.split()
        stated = "" if "silent" in words else f" <confidence>{0.9 if 'sure' in words else 0.1}</confidence>"
        whole = f"<think>{value}?</think> <answer>{value}</answer>{stated}"
        reason = "length" if "truncated" in words else "error" if "broken" in words else "stop"
        return Completion(
            text="<think>and" if reason == "length" else whole,
            finish_reason=reason,
            prompt_tokens=PROMPT_TOKENS,
            completion_tokens=NEW_TOKENS,
            error="down" if reason == "error" else "",
        )

    def close(self) -> None:
        pass


def echo_tier(number: int, **more) -> Tier:
    return live.tier(number, "echo", OwnEngineConfig(_target_="serve_helpers.EchoEngine"), **more)


def server_tier(number: int, url: str, **more) -> Tier:
    """A tier behind a server, at the prices of live_helpers."""
    engine = {k: more.pop(k) for k in ("tries", "timeout_s", "max_wait_s", "extra") if k in more}
    cfg = OpenAIEngineConfig(base_url=url, key_env=None, cache=None, **engine)
    more = {"expects_confidence": False, "max_tokens": 20, **more}
    return live.tier(number, f"model-{number}", cfg, prompt=more.pop("prompt", "plain_answer"), **more)


class StreamServer(FaultServer):
    """A FaultServer that also streams: `text(question)` in pieces of `step` characters, `pause` seconds apart.

    Faults of a stream, besides those before it: cut_stream, stall, broken_event, error_event, no_end.
    """

    STREAMED = ("cut_stream", "stall", "broken_event", "error_event", "no_end")

    def __init__(self, fault=lambda key, attempt: None, text=None, step: int = 4, pause: float = 0.0, **more):
        super().__init__(fault, **more)
        self.text = text or (lambda question: f"<think>so</think> <answer>{question.split()[0]}</answer>")
        self.step, self.pause = step, pause
        self.closed_early = 0
        """Streams whose client went away."""

    def answer(self, handler, body: dict, fault: str | None) -> None:
        if body.get("stream") and (fault is None or fault in self.STREAMED):
            try:
                self.stream(handler, body, fault)
            except (BrokenPipeError, ConnectionResetError):
                self.closed_early += 1
                handler.close_connection = True
            return
        if fault in self.STREAMED:
            fault = "cut"
        if fault is None:
            text = self.text(body["messages"][-1]["content"])
            choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
            made = {"id": "1", "object": "chat.completion", "model": "served", "choices": [choice], "usage": USAGE}
            self.send(handler, 200, json.dumps(made).encode())
            return
        super().answer(handler, body, fault)

    def stream(self, handler, body: dict, fault: str | None) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "text/event-stream")
        handler.send_header("Connection", "close")
        handler.end_headers()
        handler.close_connection = True

        def write(data: str) -> None:
            handler.wfile.write(data.encode())
            handler.wfile.flush()

        def chunk(delta: dict, ending: str | None = None, **more) -> str:
            choices = [{"index": 0, "delta": delta, "finish_reason": ending}]
            return f"data: {json.dumps({'id': '1', 'model': 'served', 'choices': choices} | more)}\n\n"

        text = self.text(body["messages"][-1]["content"])
        pieces = [text[i : i + self.step] for i in range(0, len(text), self.step)]
        for number, piece in enumerate(pieces):
            if fault is not None and number >= len(pieces) // 2:
                break
            write(chunk({"role": "assistant", "content": piece}))
            self.stopping.wait(self.pause)
        if fault == "stall":
            self.stopping.wait(60)
        elif fault == "broken_event":
            write('data: {"id": "1", "choi\n\n')
        elif fault == "error_event":
            write('data: {"error": {"message": "out of memory", "code": 500}}\n\n')
        if fault is not None:
            return
        write(chunk({}, "stop"))
        write(chunk({}, choices=[], usage=USAGE))
        write("data: [DONE]\n\n")


class Running:
    """A server that runs."""

    def __init__(self, url: str, service: CascadeService, records: list):
        self.url, self.service, self.records = url, service, records
        self.client = openai.OpenAI(base_url=f"{url}/v1", api_key="k", max_retries=0, timeout=30)

    def ask(self, text: str, model: str = "corea", **more):
        return self.client.chat.completions.create(model=model, messages=[{"role": "user", "content": text}], **more)

    def events(self, text: str, **more) -> list:
        return list(self.ask(text, stream=True, **more))

    def streamed(self, text: str, **more) -> str:
        """The text of a stream."""
        return "".join(c.choices[0].delta.content or "" for c in self.events(text, **more) if c.choices)

    def record(self, number: int = -1):
        """The record of a request, once it is there."""
        until = time.monotonic() + 5
        while len(self.records) <= (number if number >= 0 else 0) and time.monotonic() < until:
            time.sleep(0.005)
        time.sleep(0.02)
        return self.records[number]


@contextmanager
def running(
    folder: Path, tiers: list[Tier], *overrides: str, point=None, shadow=None, prepare: Callable | None = None, **more
) -> Iterator[Running]:
    """Serve `tiers` in a thread of this process, on a free port."""
    folder.mkdir(parents=True, exist_ok=True)
    file = live.write_point(folder, tiers, point or POINT, **more)
    cfg = compose("serve", f"operating_point={file}", "serve.port=0", *overrides)
    plan = plan_serving(cfg)
    ready, state = threading.Event(), {}
    records: list = []

    async def run() -> None:
        async with built_server(cfg, plan, folder, 0) as (server, service):
            service.observers.append(records.append)
            service.shadow = shadow or service.shadow
            if prepare is not None:
                prepare(service)
            sock = listen("127.0.0.1", 0)
            state["access"] = server.config.app.state.access
            state.update(service=service, server=server, url=f"http://127.0.0.1:{sock.getsockname()[1]}")
            ready.set()
            await server.serve(sockets=[sock])

    def target() -> None:
        try:
            asyncio.run(run())
        except BaseException as error:
            state["error"] = error
            raise
        finally:
            ready.set()

    thread = threading.Thread(target=target)
    thread.start()
    ready.wait(30)
    assert "error" not in state, state
    try:
        one = Running(state["url"], state["service"], records)
        one.service_access = state["access"]
        yield one
    finally:
        state["server"].should_exit = True
        thread.join(20)
        assert not thread.is_alive()


def served(folder: Path, point: Path, questions: list[str], datasets: list[str]) -> list[Journey]:
    """What a service makes of questions that come all at once, without HTTP."""
    cfg = compose("serve", f"operating_point={point}", "serve.queue_size=100000", "serve.unbound=true")

    async def ask_all() -> list[Journey]:
        async with open_client() as client:
            service = build_service(cfg, plan_serving(cfg), client, folder, 0)
            journeys = []
            for number, (text, dataset) in enumerate(zip(questions, datasets, strict=True)):
                body = {"model": f"corea/{dataset}", "messages": [{"role": "user", "content": text}]}
                journeys.append(service.begin(read_request(body, service.catalogue, str(number))))
            await asyncio.gather(*map(service.answer, journeys))
            await service.close()
            return journeys

    return asyncio.run(ask_all())
