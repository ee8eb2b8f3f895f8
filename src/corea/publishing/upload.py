"""The upload to the Hugging Face hub; no other module uses the network."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from corea.errors import UserError
from corea.publishing.published_run import PublishedRun


def check_target(repo: str, run: PublishedRun) -> None:
    """Raise UserError if the licence of the model is unknown."""
    if run.license is None:
        raise UserError(f"repo={repo}: the licence of the base model {run.base} is unknown; give license=NAME")


@contextmanager
def folder_for(folder: str | None) -> Iterator[Path]:
    """The folder that the files are written to; a temporary one, deleted afterwards, without `folder`."""
    if folder is not None:
        yield Path(folder)
        return
    with tempfile.TemporaryDirectory(prefix="corea-publish-") as temporary:
        yield Path(temporary)


def upload(folder: Path, repo: str, private: bool, names: Sequence[str]) -> str:
    """Create the repository if needed and upload the files `names` of `folder` in one commit; returns its address.

    The account is that of `hf auth login` or of $HF_TOKEN.

    Raises:
        UserError: the hub refuses or cannot be reached.
    """
    from huggingface_hub import HfApi

    api = HfApi()
    try:
        api.create_repo(repo, private=private, exist_ok=True)
        commit = api.upload_folder(
            repo_id=repo, folder_path=folder, allow_patterns=list(names), commit_message="Model, card, operating point"
        )
    except Exception as error:  # no account, no right, no network: which HTTP library raises it depends on the release
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError(
            f"repo={repo}: the upload failed ({reason}); log in with `hf auth login`, or use folder=DIR"
        ) from error
    return str(getattr(commit, "repo_url", None) or f"{api.endpoint}/{repo}")
