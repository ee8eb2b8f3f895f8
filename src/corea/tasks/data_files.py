"""Rows of data sets: local files (corea.tabular), hub data sets at a pinned revision, or the user's own function.

Code that comes with a data set is never executed: `datasets` loads no scripts of a hub data set.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from corea.errors import UserError
from corea.tabular import ALLOWED, read_columns, read_rows, table_kind, table_stem
from corea.user_code import load_function


def split_files(folder: Path, split: str, subset: str | None) -> list[Path]:
    """The files of one split in a folder, in any of the usual layouts.

    Files named `split` or `split-*` (shards), within the subset's folder if there is one; otherwise the files of the
    subset, which then has a single split.

    Raises:
        UserError: there are no such files.
    """
    files = sorted(p for p in folder.rglob("*") if table_kind(p) and not p.name.startswith("."))
    if subset:
        files = [p for p in files if table_stem(p) == subset or subset in p.relative_to(folder).parts] or files
    named = [p for p in files if table_stem(p) == split or table_stem(p).startswith(f"{split}-")]
    if not named and subset:
        named = [p for p in files if table_stem(p) == subset]
    if not named:
        raise UserError(
            f"{folder}: no file for split {split!r}: allowed is {split}.jsonl, {split}.parquet or {split}.csv"
        )
    first = named[0]
    return [p for p in named if (table_kind(p), p.suffix) == (table_kind(first), first.suffix)]


def local_rows(path: str, split: str, subset: str | None, columns: Sequence[str]) -> list[dict[str, Any]]:
    """Rows of a file, or of a split in a folder.

    Raises:
        UserError: there is no such file, or it cannot be read.
    """
    location = Path(path)
    if not location.exists():
        raise UserError(f"{path}: no such file or folder")
    if location.is_file() and table_kind(location) is None:
        raise UserError(f"{path}: allowed is a file that ends in {ALLOWED}")
    files = [location] if location.is_file() else split_files(location, split, subset)
    rows = [row for file in files for row in read_rows(file, columns)]
    if not rows:
        read_columns(files[0])  # raises the UserError that names the columns found
    return rows


def own_rows(name: str, split: str, source: str) -> list[dict[str, Any]]:
    """Rows that the user's own function ("module:function" or "file.py:function") returns for a split.

    Raises:
        UserError: it cannot be loaded, or returns something other than rows.
    """
    where = f"data source {source}.path"
    rows = list(load_function(where, name)(split))
    if not all(isinstance(row, dict) for row in rows):
        raise UserError(f"{where}={name}: must return dicts of column and value, one per question")
    return rows


def hub_rows(
    hub: str, split: str, subset: str | None, revision: str | None, columns: Sequence[str], name: str
) -> list[dict[str, Any]]:
    """Rows of a hub data set, from the local cache if present.

    Raises:
        UserError: it cannot be loaded; the message says what to do.
    """
    import datasets
    from huggingface_hub.utils import logging as hub_logging

    datasets.disable_progress_bars()
    hub_logging.set_verbosity_error()  # the error line includes what it warns about
    try:
        data = datasets.load_dataset(hub, subset, split=split, revision=revision)
    except Exception as error:  # network, hub and library raise many types; all become one line
        raise UserError(hub_error(error, hub, revision, split, name)) from error
    return data.select_columns([c for c in data.column_names if c in columns] or data.column_names).to_list()


def hub_error(error: Exception, hub: str, revision: str | None, split: str, name: str) -> str:
    """One line: what is wrong, and how to get the data set."""
    chain: list[str] = []
    seen: BaseException | None = error
    while seen is not None:
        chain.append(f"{type(seen).__name__}: {seen}")
        seen = seen.__cause__ or seen.__context__
    text = " ".join(" ".join(chain).split())
    pinned = f" --revision {revision}" if revision else ""
    get = f"hf download {hub} --repo-type dataset{pinned} --local-dir DIR"
    local = f"or, with a copy made by `{get}`, data.path=DIR"
    if "gated" in text.lower() or "401" in text or "403" in text:
        return (
            f"data source {name}: {hub} requires accepting its licence: do so at "
            f"https://huggingface.co/datasets/{hub}, log in with `hf auth login`, and start again; {local}"
        )
    if "Unknown split" in text or "Bad split" in text:
        return f"data source {name}: {hub} has no split {split!r} ({' '.join(str(error).split())[:120]})"
    if "doesn't exist" in text and "connect" not in text.lower() and "offline" not in text.lower():
        return f"data source {name}: there is no data set {hub}{f' at {revision}' if revision else ''} on the hub"
    reason = f"{type(error).__name__}: {' '.join(str(error).split())}"[:160]
    return f"data source {name}: {hub} cannot be fetched ({reason}): start again with a network, {local}"
