"""What corea.publish may show of a run: secrets, names, licences and the reward, function by function."""

from __future__ import annotations

import json

import pytest

from corea.errors import UserError
from corea.publishing.base_licence import base_license, license_of_card
from corea.publishing.model_folder import public_point
from corea.publishing.published_run import public_name
from corea.publishing.secrets_check import refuse_secrets
from corea.publishing.training_facts import reward_formula


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("https://user:secret@host/v1", "an address with a password"),
        ("https://host:8000/v1 and a@b.org", None),
        ("sk-proj-0123456789abcdefghij", "an API key"),
        ("task-force-0123456789abcdefghijk", None),
        ("AKIAIOSFODNN7EXAMPLE", "an AWS access key"),
        ("-----BEGIN RSA PRIVATE KEY-----", "a private key"),
        ("ghp_0123456789abcdefghijABCDEFGHIJ", "a GitHub token"),
    ],
)
def test_shapes_of_secrets(text, found):
    if found is None:
        refuse_secrets("a.txt", text, {})
        return
    with pytest.raises(UserError, match=f"a.txt: holds {found}; nothing was published"):
        refuse_secrets("a.txt", text, {})


def test_the_published_point_has_no_paths_or_addresses_of_this_machine():
    record = {"path": "/home/me/models/big", "engine_config": {"base_url": "http://10.0.0.5/v1", "concurrency": 4}}
    point = {"models": {"0": {"path": "model"}, "1": record}, "prompts": {"0": {"name": "/home/me/p.py:careful"}}}
    found = public_point(point)
    assert found["models"]["1"] == {"path": "big", "engine_config": {"concurrency": 4}}
    assert found["models"]["0"] == {"path": "."}
    assert found["prompts"]["0"]["name"] == "p.py:careful"
    assert "/home" in json.dumps(point)  # the argument is unchanged


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("Qwen/Qwen2.5-7B-Instruct", "Qwen/Qwen2.5-7B-Instruct"),
        ("package:tiny_slm", "package:tiny_slm"),
        ("/data/alice/models/mine", "mine"),
        ("./mine/step-3", "step-3"),
        ("outputs/models/smollm2", "smollm2"),
    ],
)
def test_names_that_others_may_see(path, name):
    assert public_name(path) == name


def test_licences(tmp_path):
    assert license_of_card("---\nlicense: llama3.1\nlanguage: en\n---\n# Card\nlicense: mit\n") == "llama3.1"
    assert license_of_card("# Card\nlicense: mit\n") is None
    (tmp_path / "README.md").write_text("---\nlicense: 'cc-by-4.0'\n---\n")
    assert base_license(str(tmp_path)) == "cc-by-4.0"
    assert base_license("meta-llama/Llama-3.2-1B-Instruct") == "llama3.2"
    assert base_license("someone/unknown-model") is None


def test_the_reward_as_a_formula():
    parts = {"name": "mine", "correct": 1, "format": 0.1, "calib": 0, "distance": "l1", "target": "group"}
    assert reward_formula(parts) == "`mine`: r = 1 · correct + 0.1 · format"
    more = {**parts, "calib": 0.5, "distance": "/home/me/d.py:mine", "extra": {"brevity": {"weight": -0.2}}}
    expected = "`mine`: r = 1 · correct + 0.1 · format + 0.5 · (−d.py:mine(confidence, group target)) + -0.2 · brevity"
    assert reward_formula(more) == expected
