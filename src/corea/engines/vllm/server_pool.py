"""vLLM servers that follow the trained weights: where they are, how busy, and which of them are lost.

A lost server is left out with a warning. It takes part again when it loads the weights of a later update.
"""

from __future__ import annotations

import json
import logging
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from corea.config.engine_schema import VLLMServerEngineConfig
from corea.engines.remote.error_text import READ, error_text, parsed
from corea.engines.remote.openai_chat import read_key
from corea.errors import UserError

log = logging.getLogger(__name__)

LOAD, UNLOAD = "v1/load_lora_adapter", "v1/unload_lora_adapter"
UNREADABLE = (400, 422)
"""HTTP statuses of an empty request to an address that exists."""


@dataclass(slots=True)
class Server:
    """One vLLM server."""

    url: str
    """Address of its API, which ends with /v1."""
    model: str = ""
    """Name under which it serves the model."""
    context: int = 0
    """Tokens of prompt and completion together."""
    adapter: str = ""
    """Name of the adapter that rollouts come from; "": the model itself."""
    busy: int = 0
    """Prompts that it is answering for this process."""
    lost: str | None = None
    """Why it is left out; None: it takes part."""


class ServerPool:
    """The servers of a configuration."""

    def __init__(self, cfg: VLLMServerEngineConfig):
        """
        Raises:
            UserError: no server answers.
        """
        self.cfg = cfg
        self.key = read_key(cfg)
        self.servers = [Server(url.rstrip("/")) for url in cfg.base_urls or [cfg.base_url]]
        for server in self.servers:
            self._try(server, self._greet)
        self.context = min(server.context for server in self.alive())

    def alive(self) -> list[Server]:
        """The servers that take part.

        Raises:
            UserError: there is none; the reason is that of the first.
        """
        found = [server for server in self.servers if server.lost is None]
        if not found:
            raise UserError(str(self.servers[0].lost))
        return found

    def least_busy(self) -> Server:
        """The server with the fewest prompts in work. Raises UserError where all are lost."""
        return min(self.alive(), key=lambda server: server.busy)

    def lose(self, server: Server, reason: str) -> None:
        """Leave a server out until it has new weights."""
        if server.lost is None and len(self.servers) > 1:
            log.warning("%s; it is left out until an update that it loads", reason)
        server.lost = reason

    def load_weights(self, folder: Path) -> None:
        """Let every server load the safetensors in `folder` and forget everything computed with the old weights.

        Raises:
            UserError: no server does.
        """
        self._on_every(lambda server: self._load(server, folder))

    def takes_adapters(self) -> bool:
        """Whether the servers load adapters while they run."""
        return all(self.status(server, LOAD, {}) in UNREADABLE for server in self.alive())

    def load_adapter(self, name: str, folder: Path) -> None:
        """Let every server load the adapter in `folder` under a new name, sample from it, and drop the one before.

        Raises:
            UserError: no server does.
        """
        self._on_every(lambda server: self._load_adapter(server, name, folder))

    def drop_adapters(self) -> None:
        """Let the servers forget the adapters; one that does not answer is passed over."""
        for server in self.servers:
            if server.adapter:
                self.status(server, UNLOAD, {"lora_name": server.adapter})

    def _on_every(self, action: Callable[[Server], None]) -> None:
        """Run `action` on every server; one that was lost takes part again where it succeeds."""
        for server in self.servers:
            returning = server.lost is not None
            server.lost = None
            self._try(server, action)
            if returning and server.lost is None:
                log.warning("engine.base_url=%s: takes part again", server.url)
        self.alive()

    def states(self) -> list[tuple[str | None, str]]:
        """(why it is lost, its adapter) of each server."""
        return [(server.lost, server.adapter) for server in self.servers]

    def set_states(self, states: Sequence[tuple[str | None, str]]) -> None:
        """Take over the states that another rank has found."""
        for server, (lost, adapter) in zip(self.servers, states, strict=True):
            server.lost, server.adapter = lost, adapter

    def workers(self, server: Server) -> int:
        """GPUs of a server."""
        return int(json.loads(self.call(server, "get_world_size"))["world_size"])

    def forget(self, server: Server) -> None:
        """Let a server forget everything computed with old weights."""
        if not json.loads(self.call(server, "reset_prefix_cache", {}))["success"]:
            raise UserError(f"engine.base_url={server.url}: the server did not reset its prefix cache; is it idle?")

    def _try(self, server: Server, action: Callable[[Server], None]) -> None:
        try:
            action(server)
        except UserError as error:
            self.lose(server, str(error))

    def _greet(self, server: Server) -> None:
        listed = self.call(server, "v1/models")
        try:
            served = json.loads(listed)["data"][0]
            server.model, server.context = served["id"], int(served["max_model_len"])
        except (ValueError, KeyError, IndexError, TypeError):
            reason = "is no vLLM server: its /v1/models has no max_model_len"
            raise UserError(f"engine.base_url={server.url}: {reason}") from None

    def _load(self, server: Server, folder: Path) -> None:
        self._greet(server)
        body = {"method": "reload_weights", "kwargs": {"weights_path": str(folder)}}
        self.call(server, "collective_rpc", body, hint=f"; can it read engine.weights={folder}?")
        self.forget(server)

    def _load_adapter(self, server: Server, name: str, folder: Path) -> None:
        self._greet(server)
        hint = f"; does it run with --enable-lora and a --max-lora-rank that suffices, and can it read {folder}?"
        self.call(server, LOAD, {"lora_name": name, "lora_path": str(folder)}, hint=hint)
        before, server.adapter = server.adapter, name
        if before:
            self.status(server, UNLOAD, {"lora_name": before})  # a server that was started again does not know it

    @staticmethod
    def root(server: Server) -> str:
        """Address of a server without /v1."""
        return server.url.removesuffix("/v1")

    def call(self, server: Server, path: str, body: dict[str, Any] | None = None, hint: str = "") -> str:
        """GET, or POST if there is a body, relative to the server's root. Raises UserError."""
        where = f"engine.base_url={server.url}"
        try:
            return self._response(server, path, body)
        except urllib.error.HTTPError as error:
            if path == "collective_rpc" and error.code in (404, 405):
                raise UserError(f"{where}: does not accept weights; start vLLM with VLLM_SERVER_DEV_MODE=1") from None
            said = error_text(parsed(error.read(READ).decode(errors="replace"))) if path == LOAD else ""
            words = f" ({said})" if said else ""
            raise UserError(f"{where}: HTTP {error.code} from {error.url}{words}{hint}") from None
        except OSError as error:
            reason = getattr(error, "reason", error)
            url = f"{self.root(server)}/{path}"
            raise UserError(f"{where}: {url} does not answer ({reason}); start it with `vllm serve`") from None

    def status(self, server: Server, path: str, body: dict[str, Any]) -> int:
        """The HTTP status of a POST; 0 where there is no answer."""
        try:
            self._response(server, path, body)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0
        return 200

    def _response(self, server: Server, path: str, body: dict[str, Any] | None) -> str:
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self.key}"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.root(server)}/{path}", data, headers)
        with urllib.request.urlopen(request, timeout=self.cfg.timeout_s) as response:
            return response.read().decode()
