"""Root schema of the verb corea.publish."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Optional

from omegaconf import MISSING

from corea.config.allowed_names import DISPLAYS
from corea.config.checks import Allowed, check, checked, existing, one_of, require

REPO = Allowed("OWNER/NAME", lambda value: re.fullmatch(r"[\w.-]+/[\w.-]+", value) is not None)


@dataclass
class PublishConfig:
    """python -m corea.publish"""

    run: str = existing(MISSING)
    """Run folder with model/ and the results of corea.evaluate."""
    repo: Optional[str] = checked(None, REPO)
    """Model repository on the hub, OWNER/NAME, that the files are uploaded to; null: nothing leaves this machine."""
    folder: Optional[str] = None
    """Folder that the files are written to; null: a temporary one, for an upload."""
    results: Optional[str] = existing()
    """Folder with metrics.json and operating_point.json; null: `run`."""
    license: Optional[str] = None
    """Identifier of the model's licence, e.g. apache-2.0; null: that of the base model, where it can be found."""
    name: Optional[str] = None
    """Title of the model card; null: the name of the repository, the folder or the run."""
    private: bool = True
    """Whether a repository that the upload creates is private; an existing one stays as it is."""
    dry_run: bool = False
    """Show what would be written and uploaded, and do neither."""
    display: str = checked("auto", one_of(*DISPLAYS))
    """Form of progress: rich is live bars, plain is lines, none prints only results and errors; auto chooses."""

    def __post_init__(self) -> None:
        check(self, "")
        somewhere = self.repo is not None or self.folder is not None or self.dry_run
        require(somewhere, "folder", self.folder, "a folder, or repo=OWNER/NAME, or dry_run=true")
