"""Adapters that servers load while they run, and vLLM's weight transfer: requests, and the log line without a GPU."""

import json
import logging
import socket
from http.server import ThreadingHTTPServer
from threading import Thread

import pytest
import torch
from test_served import Rollouts

from corea.composition import compose
from corea.config import VLLMServerEngineConfig
from corea.engines.build import build_training_engine
from corea.engines.loading import load_model
from corea.engines.vllm.server_pool import ServerPool
from corea.engines.vllm.weight_transfer import Control, Parameter, held_port, in_order, open_transfer
from corea.errors import UserError
from corea.types import Sampling

PROMPTS = [[{"role": "user", "content": "1 + 2 ="}]]


class Adapters(Rollouts):
    """A server with VLLM_ALLOW_RUNTIME_LORA_UPDATING: it keeps every request."""

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append((self.path, asked))
        if self.path == "/v1/load_lora_adapter" and self.server.refuses and asked:
            self.send_body(500, {"error": {"message": "LoRA rank 64 is greater than max_lora_rank 16"}})
        elif self.path == "/v1/load_lora_adapter" and not asked:
            self.send_body(400, {"error": {"message": "lora_name: Field required"}})
        elif self.path == "/v1/completions":
            choice = {"index": 0, "text": "", "token_ids": [5, asked["stop_token_ids"][0]], "finish_reason": "stop",
                      "logprobs": {"token_logprobs": [-0.5, -0.1]}}  # fmt: skip
            body = {"id": "x", "object": "text_completion", "created": 0, "model": asked["model"], "choices": [choice]}
            self.send_body(200, body)
        else:
            self.send_body(200, {"success": True})

    def send_body(self, status, body):
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@pytest.fixture
def servers():
    found = [ThreadingHTTPServer(("127.0.0.1", 0), Adapters) for _ in range(2)]
    for server in found:
        server.broken, server.asked, server.refuses = 0, [], False
        Thread(target=server.serve_forever, daemon=True).start()
    yield found
    for server in found:
        server.shutdown()
        server.server_close()


def address(server) -> str:
    return f"http://127.0.0.1:{server.server_address[1]}/v1"


def write(folder):
    folder.mkdir(parents=True)
    (folder / "adapter_config.json").write_text("{}")


@pytest.fixture(scope="module")
def tiny():
    return load_model("package:tiny_slm", dtype="float32")


def test_each_update_loads_the_adapter_under_a_new_name_and_drops_the_one_before(tiny, servers, tmp_path):
    server = servers[0]
    cfg = compose("train", "engine=vllm_server", f"engine.base_url={address(server)}", f"engine.weights={tmp_path}")
    engine = build_training_engine(cfg.engine, cfg.model, *tiny)
    assert engine.takes_adapters
    for _ in range(2):
        engine.sync_adapter(write)
        engine.generate(PROMPTS, Sampling(temperature=1.0, max_tokens=4))
    paths = [path.removeprefix("/v1/") for path, asked in server.asked if asked]
    assert paths == ["load_lora_adapter", "completions", "load_lora_adapter", "unload_lora_adapter", "completions"]
    first, _, second, dropped, drawn = (asked for _, asked in server.asked if asked)
    assert first["lora_name"] != second["lora_name"]
    assert first["lora_path"] != second["lora_path"]
    assert dropped == {"lora_name": first["lora_name"]}
    assert drawn["model"] == second["lora_name"]
    assert [folder.name for folder in tmp_path.iterdir()] == [second["lora_name"]]
    engine.close()
    assert server.asked[-1] == ("/v1/unload_lora_adapter", {"lora_name": second["lora_name"]})
    assert list(tmp_path.iterdir()) == []


def test_an_adapter_that_the_server_refuses_ends_with_its_words(tiny, servers, tmp_path):
    server = servers[0]
    cfg = compose("train", "engine=vllm_server", f"engine.base_url={address(server)}", f"engine.weights={tmp_path}")
    engine = build_training_engine(cfg.engine, cfg.model, *tiny)
    server.refuses = True
    with pytest.raises(
        UserError, match=r"HTTP 500 from .*/v1/load_lora_adapter \(LoRA rank 64 is greater than max_lor"
    ):
        engine.sync_adapter(write)


@pytest.mark.skipif(torch.cuda.is_available(), reason="the trainer has no GPU")
def test_without_a_gpu_weights_go_through_a_file_and_one_line_says_so(servers, caplog):
    pool = ServerPool(VLLMServerEngineConfig(base_url=address(servers[0])))
    parameters = [Parameter("w", torch.float32, (2,))]
    with caplog.at_level(logging.INFO):
        assert open_transfer(pool.cfg, pool, parameters, rank=0) is None
        assert open_transfer(pool.cfg, pool, parameters, rank=1) is None
    lines = [record.getMessage() for record in caplog.records]
    assert lines == ["engine.transfer=auto: weights go through a file (the trainer has no GPU)"]
    pool.cfg.transfer = "nccl"
    with pytest.raises(UserError, match=r"^engine\.transfer=nccl: the trainer has no GPU$"):
        open_transfer(pool.cfg, pool, parameters, rank=0)


def test_the_workers_of_each_server_get_the_ranks_after_those_of_the_one_before(servers):
    pool = ServerPool(VLLMServerEngineConfig(base_urls=[address(server) for server in servers]))
    control = Control(pool, pool.servers, [2, 4])
    control.init_weight_transfer_engine({"rank_offset": 1, "world_size": 7})
    control.start_weight_update()
    control.update_weights({"names": ["w"]})
    control.finish_weight_update()
    for server, rank in zip(servers, (1, 3), strict=True):
        assert server.asked == [
            ("/init_weight_transfer_engine", {"init_info": {"rank_offset": rank, "world_size": 7}}),
            ("/start_weight_update", {}),
            ("/update_weights", {"update_info": {"names": ["w"]}}),
            ("/finish_weight_update", {}),
        ]


def test_the_port_of_the_weight_transfer_is_held_until_its_store_listens(servers):
    with held_port(address(servers[0])) as (host, port):
        assert host == "127.0.0.1"
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind((host, port))
        listening = socket.socket()  # as vLLM makes the socket of the store
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen()
        store = torch.distributed.TCPStore(
            host, port, 1, is_master=True, master_listen_fd=listening.detach(), wait_for_workers=False
        )
    store.set("key", "value")
    assert store.get("key") == b"value"


def test_weights_come_in_the_order_that_was_declared():
    a, b, c = (torch.tensor([float(n)]) for n in range(3))
    read = []

    def given():
        for name, value in (("b", b), ("c", c), ("a", a), ("rest", a)):
            read.append(name)
            yield name, value

    assert [(name, value.item()) for name, value in in_order(given(), ["a", "b", "c"])] == [
        ("a", 0),
        ("b", 1),
        ("c", 2),
    ]
    assert read == ["b", "c", "a", "rest"]
    with pytest.raises(ValueError, match="the weight d is missing"):
        list(in_order(iter([("a", a)]), ["a", "d"]))
