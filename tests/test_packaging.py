"""What `pip install .` brings: the configuration, the tiny models, and commands that work from any folder."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import corea

CHECKOUT = Path(__file__).parents[1]
MEBI = 2**20
M = "__main__"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """Built as pip builds it, without the network."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=CHECKOUT, check=True, capture_output=True)
    (found,) = folder.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """The wheel unpacked outside of the checkout."""
    folder = tmp_path_factory.mktemp("installed")
    zipfile.ZipFile(wheel).extractall(folder)
    return folder


def test_every_source_and_configuration_file_is_in_the_wheel(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    conf = {f"corea/conf/{p.relative_to(CHECKOUT / 'conf')}" for p in (CHECKOUT / "conf").rglob("*.yaml")}
    code = {str(p.relative_to(CHECKOUT / "src")) for p in (CHECKOUT / "src").rglob("*.py")}
    assert "corea/conf/train.yaml" in conf
    assert "corea/serving/page.html" in names
    assert conf - names == set()
    assert code - names == set()
    assert any(name.endswith("licenses/LICENSE") for name in names)


@pytest.mark.slow
def test_the_wheel_of_another_copy_at_another_time_is_the_same_to_the_bit(wheel, tmp_path):
    subprocess.run(["git", "clone", "--quiet", str(CHECKOUT), str(tmp_path / "copy")], check=True)
    for path in (tmp_path / "copy").rglob("*.py"):
        path.chmod(0o600)
        os.utime(path, (1, 1))
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=tmp_path / "copy", check=True, capture_output=True)
    (again,) = tmp_path.glob("*.whl")
    status = subprocess.run(["git", "status", "--porcelain"], cwd=CHECKOUT, check=True, capture_output=True).stdout
    if status:
        pytest.skip("files here differ from the commit")
    assert hashlib.sha256(again.read_bytes()).digest() == hashlib.sha256(wheel.read_bytes()).digest()


def test_no_upper_bound_keeps_the_newest_vllm_trl_torch_or_transformers_out():
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    needed = [*project["dependencies"], *(n for names in project["optional-dependencies"].values() for n in names)]
    named = {re.match(r"[\w.-]+", line)[0]: line for line in needed}
    for name in ("torch", "transformers", "vllm", "trl", "numpy", "pandas", "openai"):
        assert not re.search("[<~!]|==", named[name]), named[name]


def test_types_reach_those_who_install_it(wheel):
    assert "corea/py.typed" in zipfile.ZipFile(wheel).namelist()


def test_the_lowest_versions_are_those_that_pyproject_allows():
    lines = [x for x in (CHECKOUT / "constraints-lowest.txt").read_text().splitlines() if "==" in x]
    pinned = dict(line.split("==") for line in lines)
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    for line in project["dependencies"] + extras["serve"] + extras["train"]:
        name, lowest = re.match(r"([\w.-]+)>=([\d.]+)", line).groups()
        assert pinned[name.lower()].startswith(lowest), line


def test_the_tiny_models_are_in_the_wheel_and_small(wheel):
    models = CHECKOUT / "src" / "corea" / "models"
    wanted = [p for p in models.rglob("*") if p.is_file() and "__pycache__" not in p.parts]
    sizes = {i.filename: i.file_size for i in zipfile.ZipFile(wheel).infolist()}
    assert {f"corea/models/{p.relative_to(models)}" for p in wanted} - sizes.keys() == set()
    assert sum(size for name, size in sizes.items() if name.startswith("corea/models/")) <= 24 * MEBI
    assert wheel.stat().st_size <= 25 * MEBI


@pytest.mark.parametrize("verb", ["train", "sft", "collect"])
def test_commands_work_from_any_folder(installed, tmp_path, verb):
    code = (
        f"import runpy, sys; sys.path.insert(0, {str(installed)!r}); runpy.run_module('corea.{verb}', run_name={M!r})"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "--cfg", "job", "--resolve"],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "name: tiny_slm" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_the_configuration_is_the_wheels_own(installed, tmp_path):
    code = (
        f"import sys; sys.path.insert(0, {str(installed)!r}); from corea.composition import conf_dir; print(conf_dir())"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert Path(done.stdout.strip()) == installed / "corea" / "conf"


def test_constraints_pin_every_dependency_and_nothing_local():
    lines = [x for x in (CHECKOUT / "constraints.txt").read_text().splitlines() if not x.startswith("#")]
    pinned = {re.sub(r"[-_.]+", "-", line.split("==")[0]).lower() for line in lines}
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in lines), "local versions, paths or addresses"
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    named = project["dependencies"] + extras["train"] + extras["dev"] + extras["serve"] + extras["docs"]
    assert {re.match(r"[\w.-]+", name)[0].lower() for name in named} - pinned == {"corea"}  # dev takes corea[serve]


def test_make_help_names_every_target():
    text = (CHECKOUT / "Makefile").read_text()
    (phony,) = re.findall(r"^\.PHONY: (.*)$", text, re.MULTILINE)
    done = subprocess.run(["make", "help"], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    listed = re.findall(r"^  make ([\w-]+) ", done.stdout, re.MULTILINE)
    assert sorted(listed) == sorted(phony.split())
    assert {"setup", "demo", "pareto", "sweep", "test", "test-slow", "lint", "bench", "help"} <= set(listed)


def test_project_and_package_state_the_same_version():
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["version"] == corea.__version__
