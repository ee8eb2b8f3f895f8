"""Prints the files that corea.publish would write and upload."""

from __future__ import annotations

from corea.config import PublishConfig
from corea.publishing.model_folder import PublishedFile
from corea.publishing.published_run import PublishedRun


def show_plan(cfg: PublishConfig, run: PublishedRun, files: list[PublishedFile]) -> None:
    """Print the targets, each file with its size, and the model card."""
    for target in _targets(cfg):
        print(f"dry run: {target}")
    for file in files:
        print(f"  {file.size:>13,} bytes  {file.name}")
    print(f"  {sum(file.size for file in files):>13,} bytes  in {len(files)} files; licence {run.license or 'unknown'}")
    (card,) = (file.content for file in files if file.name == "README.md")
    print(f"\n{card}")


def _targets(cfg: PublishConfig) -> list[str]:
    targets = [f"would write to {cfg.folder}"] if cfg.folder is not None else []
    if cfg.repo is not None:
        kind = "private" if cfg.private else "public"
        targets.append(f"would upload to {cfg.repo} on the hub (a new repository would be {kind})")
    return targets or ["no folder= or repo= is given; these are the files"]
