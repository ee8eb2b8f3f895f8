"""Models of the hub are pinned to a revision; local ones have none."""

import re

import yaml

from corea.composition import conf_dir
from corea.config.model_schema import revision_of


def test_every_hub_model_is_pinned():
    pinned = {}
    for file in [*(conf_dir() / "model").glob("*.yaml"), conf_dir() / "llm" / "qwen32b.yaml"]:
        preset = yaml.safe_load(file.read_text())
        path = preset.get("path") or preset["model"]
        if not path.startswith("package:"):
            pinned[path] = preset["revision"]
            assert re.fullmatch("[0-9a-f]{40}", preset["revision"]), file
    assert len(set(pinned.values())) == len(pinned) == 17


def test_a_local_folder_has_no_revision(tmp_path):
    assert revision_of("owner/name", "abc") == "abc"
    assert revision_of(str(tmp_path), "abc") is None
    assert revision_of("package:tiny_slm", "abc") is None
