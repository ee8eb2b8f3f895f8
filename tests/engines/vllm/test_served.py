"""What a user of engine=vllm_server reads where no server, or one that takes no weights, is there."""

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from corea.composition import compose
from corea.engines.build import build_training_engine
from corea.engines.loading import load_model
from corea.errors import UserError


class NoWeights(BaseHTTPRequestHandler):
    """Lists its model and knows nothing else, as vLLM without VLLM_SERVER_DEV_MODE."""

    def do_GET(self):
        body = json.dumps({"data": [{"id": "tiny", "max_model_len": 128}]}).encode()
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


def refused(tiny, url, folder) -> str:
    cfg = compose("train", "engine=vllm_server", f"engine.base_url={url}/v1", f"engine.weights={folder}")
    with pytest.raises(UserError) as caught:
        build_training_engine(cfg.engine, cfg.model, *tiny)
    return str(caught.value)


def test_no_server(tiny, tmp_path):
    line = refused(tiny, "http://127.0.0.1:9", tmp_path)
    assert line.startswith("engine.base_url=http://127.0.0.1:9/v1: http://127.0.0.1:9/v1/models does not answer (")
    assert line.endswith("; start it with `vllm serve`")


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
