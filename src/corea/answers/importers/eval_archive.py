"""The .eval archive of Inspect: a zip with header.json and samples/ID_epoch_N.json. Nothing is written to disk.

Sizes are limited on what is really unpacked, since the sizes that an archive states may be wrong (zip bombs).
"""

from __future__ import annotations

import json
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import pyarrow as pa

from corea.errors import UserError
from corea.tabular_text import refuse

MOST_BYTES = 2 << 30
"""Of all files of an archive together, unpacked."""
FREE_BYTES = 64 << 20
"""Up to here any ratio of compression is accepted."""
MOST_RATIO = 200
"""Unpacked bytes per packed byte."""
MOST_FILES = 200_000
ZSTD = 93
"""Compression method that Python's zipfile reads from 3.14 on."""


def read_archive(path: Path) -> dict[str, Any]:
    """The log as one document: header.json with the samples. Raises UserError if damaged or too large."""
    most = min(MOST_BYTES, max(FREE_BYTES, MOST_RATIO * path.stat().st_size))
    try:
        with zipfile.ZipFile(path) as archive:
            files = archive.infolist()
            if len(files) > MOST_FILES:
                raise refuse(path, f"holds {len(files)} files; allowed are {MOST_FILES}")
            samples = [f for f in files if f.filename.startswith("samples/") and f.filename.endswith(".json")]
            header = next((f for f in files if f.filename in ("header.json", "_journal/start.json")), None)
            if header is None:
                raise refuse(path, "not an Inspect log: the archive has no header.json")
            document = {}
            found = []
            for info in [header, *samples]:
                data = _unpack(path, archive, info, most)
                most -= len(data)
                value = json.loads(data)
                if info is header:
                    document = value if isinstance(value, dict) else {}
                else:
                    found.append(value)
    except (zipfile.BadZipFile, zlib.error, struct.error, pa.ArrowException, OSError, EOFError) as error:
        raise refuse(path, f"not a readable .eval archive: {str(error).splitlines()[0]}") from error
    except (NotImplementedError, RuntimeError) as error:  # another compression method, or a password
        raise refuse(
            path, f"not a readable .eval archive: {error}; `inspect log convert --to json` writes .json"
        ) from error
    except UserError:
        raise
    except (ValueError, RecursionError) as error:
        raise refuse(path, f"a file of the archive is not JSON: {str(error)[:80]}") from error
    return {**document, "samples": found}


def _unpack(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo, most: int) -> bytes:
    """The bytes of one file, at most `most`."""
    if info.compress_type == ZSTD:
        data = _unpack_zstd(path, info, most)
    else:
        with archive.open(info) as file:
            data = file.read(most + 1)
    if len(data) > most:
        limit = f"more than {MOST_RATIO} times its size, or {MOST_BYTES >> 30} GiB"
        raise refuse(path, f"unpacks to {limit}: refused; `inspect log convert --to json` writes .json")
    return data


def _unpack_zstd(path: Path, info: zipfile.ZipInfo, most: int) -> bytes:
    """As `_unpack`, for Zstandard: the data stand behind a header of 30 bytes, the name and the extra field."""
    with path.open("rb") as file:
        file.seek(info.header_offset)
        name, extra = struct.unpack("<HH", file.read(30)[26:30])
        file.seek(name + extra, 1)
        packed = file.read(min(info.compress_size, path.stat().st_size))
    with pa.input_stream(pa.BufferReader(packed), compression="zstd") as stream:
        return stream.read(most + 1)
