"""The licence of a base model, without the network: from its card on this machine, or from a table of known models."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

KNOWN = (
    ("package:", "apache-2.0"),
    ("Qwen/Qwen2.5-3B", "other"),  # Qwen Research licence: no commercial use
    ("Qwen/Qwen2.5-", "apache-2.0"),
    ("Qwen/Qwen3-", "apache-2.0"),
    ("HuggingFaceTB/SmolLM2-", "apache-2.0"),
    ("meta-llama/Llama-3.1-", "llama3.1"),
    ("meta-llama/Llama-3.2-", "llama3.2"),
    ("google/gemma-3-", "gemma"),
)
"""Start of a model's path -> identifier of its licence on the hub, for the choices of conf/model; first match."""


def base_license(path: str, revision: str | None = None) -> str | None:
    """Identifier of the licence of the model at `path`; None if it is not found on this machine.

    The model card in the model's folder or in the hub's cache comes before the table KNOWN.
    """
    card = _card(path, revision)
    found = license_of_card(card.read_text(encoding="utf-8", errors="replace")) if card is not None else None
    return found or next((name for start, name in KNOWN if path.startswith(start)), None)


def license_of_card(text: str) -> str | None:
    """`license` in the metadata of a model card."""
    head = re.match(r"---\n(.*?)\n---", text, re.DOTALL)
    line = re.search(r"^license:\s*[\"']?([\w.+-]+)", head[1], re.MULTILINE) if head else None
    return line[1] if line else None


def _card(path: str, revision: str | None) -> Path | None:
    local = Path(path).expanduser() / "README.md"
    if local.is_file():
        return local
    if path.count("/") != 1 or importlib.util.find_spec("huggingface_hub") is None:
        return None
    from huggingface_hub import try_to_load_from_cache

    cached = try_to_load_from_cache(path, "README.md", revision=revision)
    return Path(cached) if isinstance(cached, str) else None
