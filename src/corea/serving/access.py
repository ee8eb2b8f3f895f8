"""API keys, hashed in memory, and the limits per minute of each key."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import os
import re
import time
from dataclasses import dataclass
from pathlib import Path

from corea.config.serve_schema import ServeOptionsConfig
from corea.errors import UserError

MINUTE = 60.0
ANYONE = b""
"""The key of everybody, where none is needed."""


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def read_keys(cfg: ServeOptionsConfig) -> frozenset[bytes]:
    """SHA-256 of each key of the file and the environment variable; empty: no key is needed.

    Raises:
        UserError: the file cannot be read, or there is no key and the address is not loopback.
    """
    found: list[str] = []
    if cfg.keys_file is not None:
        try:
            lines = Path(cfg.keys_file).read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"serve.keys_file={cfg.keys_file}: cannot be read ({type(error).__name__})") from error
        found += [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
        if not found:
            raise UserError(f"serve.keys_file={cfg.keys_file}: holds no key; one a line is needed")
    if cfg.keys_env is not None:
        found += [key for key in re.split(r"[,\s]+", os.environ.get(cfg.keys_env, "")) if key]
    if not found and not is_loopback(cfg.host):
        raise UserError(
            f"serve.host={cfg.host}: other machines can reach this address, so keys are needed: give serve.keys_file, "
            f"or export {cfg.keys_env or 'keys and name their variable in serve.keys_env'}"
        )
    return frozenset(hashlib.sha256(key.encode()).digest() for key in found)


@dataclass(slots=True)
class Allowance:
    """Token bucket of a limit per minute; it refills evenly."""

    most: float
    left: float
    seen: float

    def fill(self, now: float) -> None:
        """Refill by the time since the last call."""
        self.left = min(self.most, self.left + (now - self.seen) * self.most / MINUTE)
        self.seen = now

    def wait_s(self, needed: float) -> float:
        """Seconds until `needed` is available; if it exceeds the limit, until the bucket is full."""
        return max(0.0, (min(needed, self.most) - self.left) * MINUTE / self.most)


class AccessControl:
    """Checks keys in constant time, and keeps the allowances of each."""

    def __init__(self, cfg: ServeOptionsConfig):
        """Raises UserError as `read_keys`."""
        self.keys = read_keys(cfg)
        self.requests_per_minute, self.tokens_per_minute = cfg.requests_per_minute, cfg.tokens_per_minute
        self.requests: dict[bytes, Allowance] = {}
        self.tokens: dict[bytes, Allowance] = {}

    def holder(self, authorization: str | None) -> bytes | None:
        """Hash of the key in the header Authorization; ANYONE if no key is needed; None if the key is not allowed."""
        if not self.keys:
            return ANYONE
        scheme, _, key = (authorization or "").partition(" ")
        digest = hashlib.sha256(key.strip().encode(errors="replace")).digest()
        found = [hmac.compare_digest(digest, known) for known in self.keys]  # all of them, whichever fits
        return digest if any(found) and scheme.lower() == "bearer" else None

    def enter(self, holder: bytes, tokens: int) -> float:
        """Take a request of about `tokens` from the allowances; 0, or the seconds to wait if they do not allow it."""
        now = time.monotonic()
        checks = [(self.requests, self.requests_per_minute, 1.0), (self.tokens, self.tokens_per_minute, float(tokens))]
        given = [(self._of(kind, most, holder, now), need) for kind, most, need in checks if most is not None]
        wait = max((allowance.wait_s(need) for allowance, need in given), default=0.0)
        if wait == 0.0:
            for allowance, need in given:
                allowance.left -= need
        return wait

    def settle(self, holder: bytes, estimate: int, used: int) -> None:
        """Replace the estimated tokens of a request by the used ones."""
        if self.tokens_per_minute is not None:
            self.tokens[holder].left += estimate - used

    @staticmethod
    def _of(kind: dict[bytes, Allowance], most: float, holder: bytes, now: float) -> Allowance:
        allowance = kind.setdefault(holder, Allowance(most, most, now))
        allowance.fill(now)
        return allowance
