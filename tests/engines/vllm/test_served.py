"""What a user of engine=vllm_server reads where no server, or one that takes no weights, is there."""

import json
import math
import os
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from corea.composition import compose
from corea.engines.build import build_training_engine
from corea.engines.loading import load_model
from corea.errors import UserError
from corea.types import Sampling


class NoWeights(BaseHTTPRequestHandler):
    """Lists its model and knows nothing else, as vLLM without VLLM_SERVER_DEV_MODE."""

    def do_GET(self):
        self.send(json.dumps({"data": [{"id": "tiny", "max_model_len": 128}]}).encode())

    def send(self, body):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        self.send_error(404)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def tiny():
    return load_model("package:tiny_slm", dtype="float32")


class Rollouts(BaseHTTPRequestHandler):
    """Takes weights and answers each prompt with the token 5 and the end; `server.broken` is the status of failures."""

    def reply(self, body):
        data = json.dumps(body).encode()
        self.send_response(self.server.broken or 200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        self.reply({"data": [{"id": "tiny", "max_model_len": 128}]})

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/v1/completions":
            self.server.prompts += 1
            time.sleep(0.02)
            logprobs = {"token_logprobs": [-0.5, None]}
            choices = [
                {"index": k, "text": "", "token_ids": [5, asked["stop_token_ids"][0]], "logprobs": logprobs,
                 "finish_reason": "stop"}
                for k in range(asked["n"])
            ]  # fmt: skip
            self.reply({"id": "x", "object": "text_completion", "created": 0, "model": "tiny", "choices": choices})
            return
        if self.path == "/collective_rpc" and not self.server.broken:
            self.server.loaded.append(os.listdir(asked["kwargs"]["weights_path"]))
        self.reply({"success": True})

    def log_message(self, *_):
        pass


@contextmanager
def two_servers():
    servers = [ThreadingHTTPServer(("127.0.0.1", 0), Rollouts) for _ in range(2)]
    for server in servers:
        server.broken, server.prompts, server.loaded = 0, 0, []
        Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield servers, [f"http://127.0.0.1:{server.server_address[1]}/v1" for server in servers]
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()


def test_two_servers_share_the_prompts_and_one_that_fails_loses_none(tiny, tmp_path, caplog):
    sampling, prompts = Sampling(temperature=1.0, max_tokens=4, n=2), [[{"role": "user", "content": "1 + 2 ="}]] * 12
    with two_servers() as (servers, urls):
        options = ["engine=vllm_server", f"engine.base_urls=[{','.join(urls)}]", f"engine.weights={tmp_path}"]
        cfg = compose("train", *options)
        engine = build_training_engine(cfg.engine, cfg.model, *tiny)
        first = engine.generate(prompts, sampling)
        assert [server.prompts for server in servers] == [6, 6]
        servers[0].broken = 500
        second = engine.generate(prompts, sampling)
        for answers in (first, second):
            assert [[c.token_ids[0] for c in group] for group in answers] == [[5, 5]] * 12
            assert answers[0][0].logprobs[0] == -0.5
            assert math.isnan(answers[0][0].logprobs[1])  # the server gives none: the update leaves the token out
        lost = f"engine.base_url={urls[0]}: HTTP 500 after 2 tries; it is left out until an update that it loads"
        assert [r.getMessage() for r in caplog.records if "left out" in r.getMessage()] == [lost]
        seen = servers[0].prompts
        engine.generate(prompts, sampling)
        assert servers[0].prompts == seen  # it has old weights
        servers[0].broken = 0
        engine.sync(tiny[0].named_parameters())
        engine.generate(prompts, sampling)
        assert servers[0].prompts == seen + 6
        assert [len(server.loaded) for server in servers] == [2, 2]
        assert all("model.safetensors" in files for server in servers for files in server.loaded)
        servers[0].broken = servers[1].broken = 400
        with pytest.raises(UserError, match=rf"^engine.base_url=({urls[0]}|{urls[1]}): HTTP 400: "):
            engine.generate(prompts, sampling)
        assert [server.lost for server in engine.pool.servers] == [None, None]  # no server would answer it
        servers[0].broken = servers[1].broken = 500
        with pytest.raises(UserError, match=rf"^engine.base_url={urls[0]}: HTTP 500 after 2 tries$"):
            engine.generate(prompts, sampling)


def refused(tiny, url, folder) -> str:
    cfg = compose("train", "engine=vllm_server", f"engine.base_url={url}/v1", f"engine.weights={folder}")
    with pytest.raises(UserError) as caught:
        build_training_engine(cfg.engine, cfg.model, *tiny)
    return str(caught.value)


def test_no_server(tiny, tmp_path):
    line = refused(tiny, "http://127.0.0.1:9", tmp_path)
    assert line.startswith("engine.base_url=http://127.0.0.1:9/v1: http://127.0.0.1:9/v1/models does not answer (")
    assert line.endswith("; start it with `vllm serve`")


@pytest.mark.parametrize("listed", [b"[]", b"<html>", b'{"data": [{"id": "gpt"}]}'])
def test_another_kind_of_server(tiny, tmp_path, monkeypatch, listed):
    monkeypatch.setattr(Rollouts, "reply", lambda self, _: NoWeights.send(self, listed))
    with two_servers() as (_, urls):
        line = refused(tiny, urls[0].removesuffix("/v1"), tmp_path)
    assert line == f"engine.base_url={urls[0]}: is no vLLM server: its /v1/models has no max_model_len"


def test_a_server_that_takes_no_weights(tiny, tmp_path):
    server = ThreadingHTTPServer(("127.0.0.1", 0), NoWeights)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        url = f"http://127.0.0.1:{server.server_address[1]}"
        assert refused(tiny, url, tmp_path) == (
            f"engine.base_url={url}/v1: does not accept weights; start vLLM with VLLM_SERVER_DEV_MODE=1"
        )
    finally:
        server.shutdown()
        server.server_close()
    assert not list(tmp_path.iterdir())  # the weights do not stay behind
