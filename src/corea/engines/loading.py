"""Load models and tokenizers by hub id, local folder or "package:NAME". Safetensors only, never remote code."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from corea.config.model_schema import revision_of
from corea.errors import UserError
from corea.types import Message

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

PACKAGE = "package:"
THOUGHTS = re.compile(r"<think>\s*(?:</think>\s*)?$")
TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model")


def pick_device(name: str | None) -> torch.device:
    """The named device; None: cuda if available, else cpu."""
    return torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))


def pick_dtype(name: str, device: torch.device) -> torch.dtype:
    """The named dtype; "auto" is bfloat16 on a GPU that supports it, else float32."""
    if name == "auto":
        return torch.bfloat16 if device.type == "cuda" and torch.cuda.is_bf16_supported() else torch.float32
    return getattr(torch, name)


def model_location(path: str) -> str:
    """Resolve `path` to a local folder or hub id.

    Raises:
        UserError: the packaged model or local folder does not exist or is incomplete.
    """
    if path.startswith(PACKAGE):
        name = path.removeprefix(PACKAGE)
        folder = Path(str(resources.files("corea"))) / "models" / name
        if not (folder / "config.json").exists():
            shipped = sorted(p.name for p in folder.parent.glob("*") if p.is_dir()) if folder.parent.exists() else []
            raise UserError(f"model.path={path}: corea ships {', '.join(shipped) or 'no models'}")
        return str(folder)
    local = Path(path).expanduser()
    if local.is_dir():
        if not (local / "config.json").exists():
            raise UserError(
                f"model.path={path}: the folder has no config.json; a Hugging Face model folder is required"
            )
        if not any(
            (local / name).exists() for name in TOKENIZER_FILES
        ):  # transformers would silently create an empty one
            raise UserError(f"model.path={path}: the folder has no tokenizer ({', '.join(TOKENIZER_FILES)})")
        return str(local)
    if path.startswith((".", "/", "~")) or path.count("/") > 1:
        raise UserError(f"model.path={path}: no such folder")
    return path


def load_tokenizer(path: str) -> PreTrainedTokenizerBase:
    """The tokenizer of a model. Raises UserError if it cannot be loaded."""
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(model_location(path), trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise UserError(f"tokenizer={path}: cannot be loaded: {str(error).strip().splitlines()[0]}") from error


def load_model(
    path: str, *, revision: str | None = None, dtype: str = "auto", device: str | None = None
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """(model in eval mode, tokenizer).

    Raises:
        UserError: there is no model at `path`, its weights are incomplete, or the hub cannot be reached.
    """
    from safetensors import SafetensorError

    where, pinned = model_location(path), revision_of(path, revision)
    target = pick_device(device)
    try:
        tokenizer, model, missing = _from_pretrained(where, pinned, pick_dtype(dtype, target))
    except (OSError, ValueError, SafetensorError) as error:  # missing, gated, unreachable or corrupt
        raise UserError(load_error(path, where, pinned, error)) from error
    if missing:
        raise UserError(f"model.path={path}: {len(missing)} weights are missing, e.g. {min(missing)}")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return model.to(target).eval(), tokenizer


def load_error(path: str, where: str, revision: str | None, error: Exception) -> str:
    """The reason why the model did not load and, for a hub model, how to get a copy, in one line."""
    text = str(error).strip()
    offline = " (HF_HUB_OFFLINE is set)" if os.environ.get("HF_HUB_OFFLINE") else ""
    line = f"model.path={path}: cannot be loaded{offline}: {text.splitlines()[0] if text else type(error).__name__}"
    if Path(where).is_dir():
        return line
    get = f"hf download {path}{f' --revision {revision}' if revision else ''} --local-dir DIR"
    copy = f"with a copy made by `{get}`, model.path=DIR"
    if "gated" in text:
        return (
            f"model.path={path}: requires accepting its licence: do so at https://huggingface.co/{path}, log in with "
            f"`hf auth login`, and start again; or, {copy}"
        )
    return f"{line}; {copy}" if "connect" in text else line


def _from_pretrained(where: str, revision: str | None, dtype: torch.dtype) -> tuple[Any, Any, set[str]]:
    """(tokenizer, model, names of weights that are missing in the files and therefore random)."""
    from huggingface_hub.utils import logging as hub_logging
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    hub_logging.set_verbosity_error()  # the error message includes these warnings
    bars = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()  # progress bars would clutter the log of a run
    try:
        tokenizer = AutoTokenizer.from_pretrained(where, revision=revision, trust_remote_code=False)
        model, report = AutoModelForCausalLM.from_pretrained(
            where,
            revision=revision,
            dtype=dtype,
            use_safetensors=True,
            trust_remote_code=False,
            attn_implementation="sdpa",
            output_loading_info=True,
        )
    finally:
        if bars:
            logging.enable_progress_bar()
    return tokenizer, model, set(report["missing_keys"])


def eos_ids(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """Tokens that end a completion: the tokenizer's and those of the generation config."""
    return _eos_set(model.generation_config, tokenizer)


def eos_ids_of(where: str, revision: str | None, tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """As `eos_ids`, for a model that is not loaded in this process."""
    from transformers import GenerationConfig

    try:
        config = GenerationConfig.from_pretrained(where, revision=revision)
    except OSError:  # the model has no generation config
        config = None
    return _eos_set(config, tokenizer)


def _eos_set(config: Any, tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    configured = getattr(config, "eos_token_id", None)
    several = configured if isinstance(configured, (list, tuple)) else [configured]
    return frozenset(int(i) for i in (*several, tokenizer.eos_token_id) if i is not None)


def require_attention(model: PreTrainedModel, name: str) -> None:
    """Check that every layer is attention. The state of recurrent layers cannot be copied and compacted like a
    key/value cache.

    Raises:
        UserError: a layer is not attention.
    """
    kinds = set(getattr(model.config.get_text_config(), "layer_types", None) or [])
    if getattr(model, "_is_stateful", False) or kinds - {"full_attention", "sliding_attention", "chunked_attention"}:
        raise UserError(
            f"model {name}: engine=hf supports only models whose layers are all attention; use another engine"
        )


def encode_prompt(
    tokenizer: PreTrainedTokenizerBase,
    messages: Sequence[Message],
    name: str,
    template: Mapping[str, Any] | None = None,
) -> list[int]:
    """Token ids of a conversation by the tokenizer's chat template, ending where the assistant's turn starts.

    If the template rejects system messages, the system message becomes the first paragraph of the user's message.

    Args:
        name: name of the model, for messages.
        template: variables of the chat template.

    Raises:
        UserError: the tokenizer has no chat template.
    """
    from jinja2 import TemplateError

    if tokenizer.chat_template is None:
        raise UserError(f"model {name}: its tokenizer has no chat template; an instruct model is required")

    def render(conversation: list[Message]) -> list[int]:
        return tokenizer.apply_chat_template(
            conversation, add_generation_prompt=True, tokenize=True, return_dict=False, **(template or {})
        )

    try:
        return render(list(messages))
    except TemplateError:
        if len(messages) < 2 or messages[0]["role"] != "system":
            raise
        merged = {"role": messages[1]["role"], "content": f"{messages[0]['content']}\n\n{messages[1]['content']}"}
        return render([merged, *messages[2:]])


def template_prefix(tokenizer: PreTrainedTokenizerBase, prompt: Sequence[int]) -> str:
    """Start of the answer that the chat template puts at the end of the prompt.

    It is "<think>" for a model that always thinks, or an empty pair of tags if thinking is switched off. It is part of
    the text that is parsed, but not of the sampled tokens.
    """
    found = THOUGHTS.search(tokenizer.decode(list(prompt[-16:])))
    return found[0] if found else ""
