"""Data sets of the hub that cannot be had: one line that says how to get them. No network is touched."""

import subprocess
import sys

import pytest

from corea.errors import UserError
from corea.tasks.data_files import hub_error, hub_rows


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


GET = "hf download Idavidrein/gpqa --repo-type dataset --revision abc --local-dir DIR"


def why(error: Exception) -> str:
    line = hub_error(error, "Idavidrein/gpqa", "abc", "train", "gpqa")
    assert "\n" not in line
    return line


def test_a_licence_that_wants_a_click():
    from datasets.exceptions import DatasetNotFoundError

    line = why(DatasetNotFoundError("Dataset 'Idavidrein/gpqa' is a gated dataset on the Hub. Visit the page\nto ask."))
    assert line.startswith("data source gpqa: Idavidrein/gpqa requires accepting its licence: do so at https://hugg")
    assert "`hf auth login`" in line
    assert line.endswith(f"or, with a copy made by `{GET}`, data.path=DIR")


def test_other_reasons():
    from datasets.exceptions import DatasetNotFoundError

    line = why(DatasetNotFoundError("Dataset 'x' doesn't exist on the Hub or cannot be accessed."))
    assert line == "data source gpqa: there is no data set Idavidrein/gpqa at abc on the hub"
    assert why(ValueError("Unknown split \"train\". Should be one of ['test'].")).startswith(
        "data source gpqa: Idavidrein/gpqa has no split 'train'"
    )
    assert why(ConnectionError("Couldn't reach it")).startswith(
        "data source gpqa: Idavidrein/gpqa cannot be fetched (ConnectionError: Couldn't reach it): start again with a "
        "network, or"
    )


@pytest.mark.parametrize("verb", ["collect"])
def test_without_a_network_a_verb_ends_with_one_line(tmp_path, verb):
    done = subprocess.run(
        [sys.executable, "-m", f"corea.{verb}", "data=math500", f"hydra.run.dir={tmp_path}/run", "logger=none"],
        env={"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path), "PATH": "", "PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("corea.collect: data source math500: HuggingFaceH4/MATH-500 cannot be fetched (")
    assert "--revision 6e4ed1a2a79af7d8630a6b768ec859cb5af4d3be --local-dir DIR`, data.path=DIR" in line


def test_what_the_library_loads_keeps_only_the_columns_that_are_read(tmp_path):
    rows = '{"question": "a?", "answer": "1", "long": "x"}\n{"question": "b?", "answer": "2", "long": "y"}\n'
    (tmp_path / "train.jsonl").write_text(rows)
    rows = hub_rows(str(tmp_path), "train", None, None, ["question", "answer"], "s")
    assert rows == [{"question": "a?", "answer": "1"}, {"question": "b?", "answer": "2"}]
    with pytest.raises(UserError, match=r"data source s: .* has no split 'nope' \("):
        hub_rows(str(tmp_path), "nope", None, None, ["question"], "s")


def test_a_loading_script_of_a_data_set_is_not_run(tmp_path):
    folder = tmp_path / "evil"
    folder.mkdir()
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\n")
    with pytest.raises(UserError, match="data source s: "):
        hub_rows(str(folder), "train", None, None, ["question"], "s")
    assert not (tmp_path / "ran").exists()
