"""Refuses to publish text that holds a key, a password or a token."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from corea.errors import UserError

PATTERNS = {
    "a Hugging Face token": re.compile(r"\bhf_[A-Za-z0-9]{30,}"),
    "an API key": re.compile(r"\bsk-[A-Za-z0-9_-]{20,}"),
    "an AWS access key": re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"),
    "a GitHub token": re.compile(r"\b(?:gh[pousr]_[A-Za-z0-9]{30,}|github_pat_[A-Za-z0-9_]{30,})"),
    "a private key": re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----"),
    "an address with a password": re.compile(r"\b\w+://[^\s/:@]+:[^\s/@]+@"),
}
SECRET_NAME = re.compile(r"KEY|TOKEN|SECRET|PASSW|CREDENTIAL", re.IGNORECASE)
SHORTEST = 12
"""Shorter values of environment variables are not searched: they occur by chance."""


def refuse_secrets(name: str, text: str, environment: Mapping[str, str] | None = None) -> None:
    """Raise UserError if `text`, the content of file `name`, looks like it holds a secret; the message does not repeat
    it. Searched are the shapes in PATTERNS and the values of secret environment variables."""
    for what, pattern in PATTERNS.items():
        if pattern.search(text):
            raise UserError(f"{name}: holds {what}; nothing was published")
    for variable, value in (os.environ if environment is None else environment).items():
        if SECRET_NAME.search(variable) and len(value) >= SHORTEST and value in text:
            raise UserError(f"{name}: holds the value of the environment variable {variable}; nothing was published")
