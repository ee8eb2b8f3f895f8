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
from corea.engines.remote.openai_chat import read_key
from corea.errors import UserError

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Server:
    """One vLLM server."""

    url: str
    """Address of its API, which ends with /v1."""
    model: str = ""
    """Name under which it serves the model."""
    context: int = 0
    """Tokens of prompt and completion together."""
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
        for server in self.servers:
            returning = server.lost is not None
            server.lost = None
            self._try(server, lambda s: self._load(s, folder))
            if returning and server.lost is None:
                log.warning("engine.base_url=%s: takes part again", server.url)
        self.alive()

    def states(self) -> list[str | None]:
        """Why each server is lost, or None."""
        return [server.lost for server in self.servers]

    def set_states(self, states: Sequence[str | None]) -> None:
        """Take over the states that another rank has found."""
        for server, lost in zip(self.servers, states, strict=True):
            server.lost = lost

    def _try(self, server: Server, action: Callable[[Server], None]) -> None:
        try:
            action(server)
        except UserError as error:
            self.lose(server, str(error))

    def _greet(self, server: Server) -> None:
        listed = self._call(server, "v1/models")
        try:
            served = json.loads(listed)["data"][0]
            server.model, server.context = served["id"], int(served["max_model_len"])
        except (ValueError, KeyError, IndexError, TypeError):
            reason = "is no vLLM server: its /v1/models has no max_model_len"
            raise UserError(f"engine.base_url={server.url}: {reason}") from None

    def _load(self, server: Server, folder: Path) -> None:
        self._greet(server)
        body = {"method": "reload_weights", "kwargs": {"weights_path": str(folder)}}
        self._call(server, "collective_rpc", body)
        if not json.loads(self._call(server, "reset_prefix_cache", {}))["success"]:
            raise UserError(f"engine.base_url={server.url}: the server did not reset its prefix cache; is it idle?")

    def _call(self, server: Server, path: str, body: dict[str, Any] | None = None) -> str:
        """GET, or POST if there is a body, relative to the server's root. Raises UserError."""
        url = server.url.removesuffix("/v1") + "/" + path
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self.key}"}
        request = urllib.request.Request(url, None if body is None else json.dumps(body).encode(), headers)
        where = f"engine.base_url={server.url}"
        try:
            with urllib.request.urlopen(request, timeout=self.cfg.timeout_s) as response:
                return response.read().decode()
        except urllib.error.HTTPError as error:
            if path == "collective_rpc" and error.code in (404, 405):
                raise UserError(f"{where}: does not accept weights; start vLLM with VLLM_SERVER_DEV_MODE=1") from None
            hint = f"; can it read engine.weights={body['kwargs']['weights_path']}?" if body else ""
            raise UserError(f"{where}: HTTP {error.code} from {url}{hint}") from None
        except OSError as error:
            reason = getattr(error, "reason", error)
            raise UserError(f"{where}: {url} does not answer ({reason}); start it with `vllm serve`") from None
