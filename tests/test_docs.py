"""The documentation keeps its word: commands compose, links resolve, named files exist."""

from __future__ import annotations

import importlib.util
import re
import shlex
from pathlib import Path

import pytest
import yaml
from hydra.types import RunMode

from corea.composition import composed, composer, sweep_jobs, typed, with_task_path, with_trainer
from corea.config.messages import TRAINING_EXTRAS

CHECKOUT = Path(__file__).parents[1]
STUDIES = sorted(CHECKOUT.glob("experiments/*/README.md"))
GUIDES = sorted(CHECKOUT.glob("docs/**/*.md"))
PAGES = [CHECKOUT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")] + GUIDES + STUDIES
GENERATED = {CHECKOUT / "docs" / "configuration.md"}
"""Pages that exist only in the built site."""
VERBS = ("train", "sft", "collect", "evaluate", "answer", "compare", "publish", "serve", "plan")
PLACEHOLDERS = {"ENGINE": "hf", "RANK": "0", "...": "outputs/x", "OWNER/NAME": "me/tiny"}
"""What a page leaves to the reader -> a value."""
REQUIRED = {
    "evaluate": ["answers=answers.parquet"],
    "serve": ["operating_point=operating_point.json"],
    "answer": ["questions=questions.jsonl", "operating_point=operating_point.json"],
    "compare": ["runs=[outputs/a,outputs/b]"],
    "publish": ["run=outputs/demo", "folder=outputs/model"],
}
"""Keys without a default, for commands that a page shows without any."""


def label(path: Path) -> str:
    return path.relative_to(CHECKOUT).as_posix()


def code_blocks(text: str, *languages: str) -> list[str]:
    """Contents of the fenced blocks in these languages ("" is a block without one)."""
    blocks = re.findall(r"^```(\w*)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return [body for language, body in blocks if language in languages]


def command_lines(text: str) -> list[list[str]]:
    """Arguments of each `python -m corea.VERB ...` of a page, launchers taken off: [VERB, argument, ...]."""
    lines = [line for block in code_blocks(text, "", "shell") for line in re.sub(r"\\\n\s*", "", block).splitlines()]
    lines += re.findall(r"`([^`\n]*python -m corea\.[^`\n]*)`", text)
    found = []
    for line in lines:
        match = re.search(r"(?:-m|--module) corea\.(\w+)(?: (.*))?$", line)
        if match and match[1] in VERBS:
            found.append([match[1], *shlex.split(match[2] or "", comments=True)])
    return found


def commands() -> list:
    """Every distinct command, with the first page that names it."""
    first: dict[tuple[str, ...], Path] = {}
    for path in PAGES:
        for line in command_lines(path.read_text(encoding="utf-8")):
            first.setdefault(tuple(line), path)
    return [pytest.param(line, id=f"{label(path)}: {' '.join(line)}") for line, path in first.items()]


def prepared(verb: str, arguments: list[str]) -> list[str]:
    """Arguments with the reader's part filled in."""
    parts = [argument.partition("=") for argument in arguments]
    filled = [key + sign + PLACEHOLDERS.get(value, value) for key, sign, value in parts]
    return filled or REQUIRED.get(verb, [])


@pytest.mark.parametrize("line", commands())
def test_a_command_of_the_documentation_composes(line):
    verb, *arguments = line
    arguments = prepared(verb, arguments)
    flags = {"--cfg", "job", "--resolve", "-m", "--help"}
    overrides = [argument for argument in arguments if argument not in flags]
    config_dir, name = None, verb
    if "--config-dir" in overrides:
        at = overrides.index("--config-dir")
        config_dir, name = overrides[at + 1], overrides[at + 3]
        assert overrides[at + 2] == "--config-name"
        del overrides[at : at + 4]
        if name == "optuna":  # its plugin chooses the jobs
            pytest.skip("run by tests/test_optuna.py")
        if config_dir == ".":  # the reader's own folder, which the page describes
            pytest.skip("tested with the page's own file below")
    overrides = with_trainer(name, with_task_path(overrides))
    with composer(verb, str(CHECKOUT / config_dir) if config_dir else None) as hydra:
        if "-m" in arguments:
            jobs = sweep_jobs(hydra, composed(hydra, name, overrides, RunMode.MULTIRUN))
            assert next(jobs)[1] is not None  # the others differ in the swept values alone
        else:
            assert typed(hydra, name, overrides) is not None


def test_the_commands_of_the_documentation_are_found():
    verbs = {line[0] for path in PAGES for line in command_lines(path.read_text(encoding="utf-8"))}
    assert verbs == set(VERBS)
    assert len(commands()) > 40
    block = "```\ntorchrun -m corea.train a=1 \\\n  'b={c: 1}'  # note\n```\n`python -m corea.sft x=y`, `-m corea.no`"
    assert command_lines(block) == [["train", "a=1", "b={c: 1}"], ["sft", "x=y"]]


@pytest.mark.parametrize("page", ["extending"])
def test_configuration_files_shown_in_a_page_compose(page, tmp_path):
    blocks = [b for b in code_blocks((CHECKOUT / "docs" / f"{page}.md").read_text(), "yaml") if "defaults:" in b]
    assert len(blocks) >= 2
    for number, block in enumerate(blocks):
        (tmp_path / f"shown_{number}.yaml").write_text(block)
        with composer("train", str(tmp_path)) as hydra:
            assert typed(hydra, f"shown_{number}", []).model.name == "tiny_slm"


def test_the_data_file_of_the_data_page_composes(tmp_path):
    (block,) = [b for b in code_blocks((CHECKOUT / "docs/data.md").read_text(), "yaml") if "trivia" in b]
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "mine.yaml").write_text(block)
    with composer("train", str(tmp_path)) as hydra:
        cfg = typed(hydra, "train", ["data=mine"])
    assert [s.name for s in cfg.data.families["mine"].sources] == ["trivia", "sums"]


def slug(heading: str) -> str:
    """Anchor of a heading, as GitHub and MkDocs make it."""
    return re.sub(r"[\s]+", "-", re.sub(r"[^\w\s-]", "", heading.lower()).strip())


def anchors(path: Path) -> set[str]:
    text = re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return {slug(heading) for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE)}


@pytest.mark.parametrize("path", PAGES, ids=label)
def test_relative_links_and_their_anchors_resolve(path):
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text(encoding="utf-8")):
        if re.match(r"https?:", target):
            continue
        name, _, anchor = target.partition("#")
        file = (path.parent / name).resolve() if name else path
        if file in GENERATED:
            continue
        if not file.exists() or (anchor and anchor not in anchors(file)):
            broken.append(target)
    assert broken == []


def test_a_link_to_a_missing_heading_is_seen(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# One two\n```\n# not a heading\n```\n## More than `two`: tiers\n")
    assert anchors(page) == {"one-two", "more-than-two-tiers"}


@pytest.mark.parametrize("path", [*PAGES, CHECKOUT / "Makefile"], ids=label)
def test_files_named_in_a_page_exist(path):
    named = re.findall(r"`((?:src|conf|docs|tests|sweeps|experiments|benchmarks)/[\w./-]*\w)/?`", path.read_text())
    known = {name for name in named if "NAME" not in name and "mine.yaml" not in name}
    assert [name for name in sorted(known) if not (CHECKOUT / name).exists()] == []


@pytest.mark.parametrize("page", ["architecture", "paper"])
def test_modules_named_in_a_page_exist(page):
    text = (CHECKOUT / "docs" / f"{page}.md").read_text(encoding="utf-8")
    packages = "|".join(p.name for p in (CHECKOUT / "src/corea").iterdir() if (p / "__init__.py").exists())
    named = set(re.findall(rf"\b((?:{packages})/[\w/]+\.py)\b", text))
    assert len(named) >= 9
    assert [name for name in sorted(named) if not (CHECKOUT / "src/corea" / name).exists()] == []


def moved() -> list[list[str]]:
    text = (CHECKOUT / "CHANGELOG.md").read_text(encoding="utf-8")
    return re.findall(r"^\| `(corea\.[\w.]+)` \| `(corea\.[\w.]+)` \|$", text, re.MULTILINE)


def exists(module: str) -> bool:
    path = CHECKOUT / "src" / module.replace(".", "/")
    return path.with_suffix(".py").exists() or (path / "__init__.py").exists()


def test_moved_modules_are_where_the_changelog_says():
    assert len(moved()) > 80
    assert [new for _, new in moved() if not exists(new)] == []


def test_no_page_cites_what_users_do_not_have():
    text = {label(path): path.read_text(encoding="utf-8") for path in [*PAGES, CHECKOUT / "Makefile"]}
    assert [name for name, words in text.items() if re.search(r"\bDESIGN\b|/work/|/home/|/root/", words)] == []


def test_the_readme_is_short_and_opens_with_claim_picture_and_two_commands():
    lines = (CHECKOUT / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 160
    place = {name: next(i for i, line in enumerate(lines) if line.startswith(name)) for name in ("![", "## ")}
    assert place["!["] < place["## "] < 20
    sections = [line.removeprefix("## ") for line in lines if line.startswith("## ")]
    assert sections == [
        "Two commands",
        "Use it on your own questions",
        "Bring recorded answers",
        "Train your own",
        "How the data flows",
        "Result",
        "Where things are",
        "Licence",
    ]


def test_make_targets_named_in_a_page_exist():
    targets = re.findall(r"^([a-z0-9-]+):.*## ", (CHECKOUT / "Makefile").read_text(), re.MULTILINE)
    named = {
        (label(path), name)
        for path in PAGES
        for name in re.findall(r"(?:`|^)make ([a-z0-9-]+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert {name for _, name in named} >= {"demo", "test", "docs", "sweep"}
    assert [entry for entry in sorted(named) if entry[1] not in targets] == []


def test_every_page_stands_once_in_the_navigation():
    class Loader(yaml.SafeLoader):
        """mkdocs.yml may hold tags of MkDocs' own."""

    site = yaml.load((CHECKOUT / "mkdocs.yml").read_text(), Loader)
    listed = re.findall(r"[\w./-]+\.md", yaml.dump(site["nav"]))
    pages = [p.relative_to(CHECKOUT / "docs").as_posix() for p in GUIDES] + [label(p) for p in STUDIES]
    assert sorted(listed) == sorted({*pages, "configuration.md", "CONTRIBUTING.md", "CHANGELOG.md"})


def test_a_guide_needs_no_package_that_evaluation_lacks():
    """The ten lines of docs/bring_your_own_answers.md import nothing outside the standard library."""
    (block,) = code_blocks((CHECKOUT / "docs/bring_your_own_answers.md").read_text(), "python")
    imported = {name.strip() for line in re.findall(r"^import (.*)$", block, re.MULTILINE) for name in line.split(",")}
    assert imported == {"csv", "subprocess"}
    assert importlib.util.find_spec("corea.evaluate") is not None
    assert not imported & set(TRAINING_EXTRAS)
