"""The files of a published model: which ones, their contents, and writing them into a folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from corea.display import Bar, progress
from corea.errors import UserError
from corea.publishing.model_card import card_text
from corea.publishing.published_run import PublishedRun, public_name
from corea.publishing.secrets_check import refuse_secrets
from corea.runtime import atomic_write

WEIGHTS = (".safetensors",)
TEXTS = (".json", ".jinja", ".model", ".txt")
"""Endings of the files of model/ that are published beside the weights; anything else stays at home."""
READABLE = (".json", ".jinja", ".txt", ".md", ".csv")
"""Endings of text files, which are searched for secrets."""
PLOTS = ("reliability.png", "pareto.png")
MB = 2**20
PART = 64 * MB
"""Bytes that are copied between two looks at the clock."""
LEFT_ALONE = (".git", ".gitattributes", ".cache", ".lock")


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedFile:
    """One file: copied from `source`, or written with `content`."""

    name: str
    """Path inside the published folder."""
    source: Path | None = None
    content: str | None = None

    @property
    def size(self) -> int:
        """Bytes."""
        return self.source.stat().st_size if self.source is not None else len((self.content or "").encode())


def plan_files(run: PublishedRun) -> list[PublishedFile]:
    """All files in the order of their names.

    Raises:
        UserError: one of them holds a secret, or the model has no weights in safetensors.
    """
    model = [f for f in sorted(run.model.iterdir()) if f.is_file() and f.suffix in (*WEIGHTS, *TEXTS)]
    if not any(file.suffix in WEIGHTS for file in model):
        raise UserError(f"{run.model}: no weights (*.safetensors)")
    files = [PublishedFile(name=file.name, source=file) for file in model]
    plots = [name for name in PLOTS if (run.results / "plots" / name).is_file()]
    files += [PublishedFile(name=f"plots/{name}", source=run.results / "plots" / name) for name in plots]
    point = json.dumps(public_point(run.point), indent=1, allow_nan=False) + "\n"
    files.append(PublishedFile(name="operating_point.json", content=point))
    files.append(PublishedFile(name="metrics.json", source=run.results / "metrics.json"))
    if (run.results / "frontier.csv").is_file():
        files.append(PublishedFile(name="frontier.csv", source=run.results / "frontier.csv"))
    files.append(PublishedFile(name="README.md", content=card_text(run, plots)))
    for file in files:
        if Path(file.name).suffix in READABLE:
            text = file.content if file.source is None else file.source.read_text(encoding="utf-8", errors="replace")
            refuse_secrets(file.name, text or "")
    return sorted(files, key=lambda file: file.name)


def public_point(point: Mapping[str, Any]) -> dict[str, Any]:
    """The operating point as it is published: the small model beside it, and no paths or addresses of this machine."""
    models = {}
    for tier, record in (point.get("models") or {}).items():
        known = {key: _public(value) for key, value in record.items() if key != "path"}
        if isinstance(record.get("path"), str):
            known["path"] = "." if tier == "0" else public_name(record["path"])
        models[tier] = known
    prompts = {t: {**p, "name": public_name(str(p.get("name")))} for t, p in (point.get("prompts") or {}).items()}
    return {**point, "models": models, "prompts": prompts or point.get("prompts")}


def _public(value: Any) -> Any:
    """`value` without the entries that are addresses or local paths."""
    if isinstance(value, dict):
        return {key: _public(inner) for key, inner in value.items() if not _private(inner)}
    if isinstance(value, list):
        return [_public(inner) for inner in value if not _private(inner)]
    return value


def _private(value: Any) -> bool:
    return isinstance(value, str) and ("://" in value or value.startswith(("/", "~", "./", "../")))


def write_folder(files: list[PublishedFile], folder: Path) -> None:
    """Write the files; those of an earlier call are replaced.

    Raises:
        UserError: the folder holds other files, which would be published with the model.
    """
    names = {file.name for file in files}
    found = [f.relative_to(folder).as_posix() for f in folder.rglob("*") if f.is_file()] if folder.exists() else []
    others = sorted(name for name in found if name not in names and name.split("/")[0] not in LEFT_ALONE)
    if others:
        more = f" and {len(others) - 3} more" if len(others) > 3 else ""
        raise UserError(f"folder={folder}: holds other files ({', '.join(others[:3])}{more}); give a new folder")
    with progress("MB", sum(file.size for file in files) // MB) as bar:
        for file in files:
            with atomic_write(folder / file.name) as temporary:
                if file.source is not None:
                    _copy(file.source, temporary, bar)
                else:
                    temporary.write_text(file.content or "", encoding="utf-8")


def _copy(source: Path, target: Path, bar: Bar) -> None:
    """Copy a file, in parts that `bar` counts in MB."""
    with source.open("rb") as reader, target.open("wb") as writer:
        while part := reader.read(PART):
            writer.write(part)
            bar.advance(len(part) // MB, f"copying {source.name}")
