"""Every mistake in a configuration is one line that says what is allowed."""

from __future__ import annotations

import shlex

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import OverrideParseException

from corea.composition import compose
from corea.config.checks import shown
from corea.config.messages import hydra_line
from corea.config.quoting import quoted_override
from corea.config.typed import require_files
from corea.errors import UserError
from test_config import NEEDED, mistake


@pytest.mark.parametrize(
    ("override", "line"),
    [
        (
            "reward.clib=1",
            "reward.clib=1: no such key; the keys of reward are calib, correct, distance, eps, extra, "
            "format, gate_calib, gate_correct, name, target; "
            "did you mean calib?",
        ),
        (
            "+reward.clib=1",
            "reward.clib: no such key; the keys of reward are calib, correct, distance, eps, extra, "
            "format, gate_calib, gate_correct, name, target; "
            "did you mean calib?",
        ),
        (
            "modle=tiny",
            "modle=tiny: no such key; the keys are data, display, engine, logger, model, reward, seed, trainer; "
            "did you mean model?",
        ),
        ("trainer.steps=abc", "trainer.steps=abc: allowed is an integer"),
        ("trainer.steps=true", "trainer.steps=true: allowed is an integer"),
        ("trainer.steps=1.5", "trainer.steps=1.5: allowed is an integer"),
        ("trainer.optimizer.lr=fast", "trainer.optimizer.lr=fast: allowed is a number"),
        ("trainer.offload=maybe", "trainer.offload=maybe: allowed is true or false"),
        ("trainer.steps=0", "trainer.steps=0: allowed is a number >= 1"),
        ("trainer.optimizer.lr=-1", "trainer.optimizer.lr=-1.0: allowed is a number > 0"),
        ("trainer.optimizer.lr=inf", "trainer.optimizer.lr=inf: allowed is a number > 0"),
        ("trainer.optimizer.betas=[0.9]", "trainer.optimizer.betas=[0.9]: allowed is two numbers in [0, 1)"),
        ("trainer.optimizer.betas=[0.9,1]", "trainer.optimizer.betas=[0.9, 1.0]: allowed is two numbers in [0, 1)"),
        ("model.price.input=-1", "model.price.input=-1.0: allowed is a number >= 0"),
        ("data.families.in_domain.test=-1", "data.families.in_domain.test=-1: allowed is a number >= 0"),
        ("data.families.nope.test=1", "data.families.nope.test=1: no such key; the keys of data.families are "
         "in_domain, non_math, other_math"),
        ("data.train=[nope]", "data.train=[nope]: allowed is a list of in_domain, other_math, non_math"),
        (
            "reward.distance=l",
            "reward.distance=l: allowed is l1, l2, kl, log, module:name or file.py:name; did you mean l2?",
        ),
        ("reward.distance=log", "reward.target=group: allowed with reward.distance=log is sample"),
        ("engine.batch_rows=x", "engine.batch_rows=x: allowed is an integer"),
        ("logger.mode=onlin", "logger.mode=onlin: allowed is auto, online, offline, disabled; did you mean online?"),
        ("seed=null", "seed: null is not allowed"),
        ("seed=${nope}", "seed: Interpolation key 'nope' not found"),
        ("model.path=???", "model.path: a value is required; give model.path=..."),
        ("model=null", "model=null: a choice is required"),
        ("llm=tiny", "llm=tiny: this command has no such group; --help lists the groups"),
        ("trainer.profile=3", "trainer.profile=3: allowed is a list, written [a,b]"),
        ("trainer.off_policy_steps=2", "trainer.off_policy_steps=2: allowed is 0 or 1"),
        (
            "experiment=tiny_slm_cold",
            "experiment=tiny_slm_cold: sets teacher, which this command does not have; the file is for another command",
        ),
        ("reward.calib", "'reward.calib' is not an override; write key=value or group=choice"),
        ("reward.calib=0,1", "reward.calib=0,1: several values need -m (a sweep); a list is written "
         "'reward.calib=[a,b]', one text 'reward.calib=\"0,1\"'"),
    ],
)  # fmt: skip
def test_mistakes(override, line):
    assert mistake("train", override) == line


def test_values_are_shown_as_a_configuration_writes_them():
    value = {"a": True, "b": [None, "x", 0.5], "c": {}, 1: (False,)}
    assert shown(value) == "{a: true, b: [null, x, 0.5], c: {}, 1: [false]}"
    assert shown("True") == "True"


def test_an_unknown_choice_lists_the_choices_and_no_schema():
    line = mistake("train", "model=tny")
    assert line.startswith("model=tny: no such choice; allowed is gemma3_1b, gemma3_270m, ")
    assert line.endswith("did you mean tiny?")
    line = mistake("train", "engine=vlm")
    assert line.startswith("engine=vlm: no such choice; allowed is auto, hf, openai, own, ray, recorded, replay, ")
    assert line.endswith("; did you mean vllm?")
    assert mistake("train", "logger=x") == "logger=x: no such choice; allowed is jsonl, none, wandb"


def test_a_bracket_left_open_is_named():
    line = mistake("train", "model=[a")
    assert line.startswith("'model=[a' is not a valid override")
    assert line.endswith("""a text with special characters is quoted inside a list too: 'model=["a=b"]'""")


ODD = ["lr=1", "it's", 'a"b', "(x)", "a(x)", "a#b", "ü/日", "a;b&c", "~a", "!a", "^`<>", "a{b}", "a]b", "'a'b'", "b',c"]
PARSER = OverridesParser.create()


def test_a_text_that_hydra_cannot_read_is_shown_quoted():
    for text in [f"outputs/{text}" for text in ODD] + ODD:
        with pytest.raises(OverrideParseException) as caught:
            PARSER.parse_overrides([f"run={text}"])
        line = hydra_line(caught.value)
        assert "\n" not in line
        (written,) = shlex.split(line[line.rindex("'run=") :])
        assert PARSER.parse_override(written).value() == text
    line = mistake("train", "model.path=outputs/a, b")
    assert line.endswith("""is written 'model.path=[a,b]', one text 'model.path="outputs/a, b"'""")


def test_quoted_texts_are_read_as_they_are():
    texts = [" a ", "a,b", "a\\b", "a\\", 'a\\"b\\\\', "1_000", "1e3", "null", "True", "[a]", "", "a$b", "C:\\x y\\"]
    for text in [*texts, *ODD]:
        (written,) = shlex.split(quoted_override("run", text))
        assert PARSER.parse_override(written).value() == text
    assert quoted_override("run", "outputs/x-1_2") == "run=outputs/x-1_2"


def test_a_key_below_one_that_is_null_is_named():
    line = mistake("answer", *NEEDED["answer"], "tiers.1.engine.device=cuda")
    assert line.startswith("tiers.1.engine.device=cuda: a key below one that is null; choose what stands there first")


def test_missing_value_and_missing_file(tmp_path):
    assert mistake("evaluate") == "answers: a value is required; give answers=..."
    assert mistake("collect", "llm=hf") == "llm.model: a value is required; give llm.model=..."
    cfg = compose("evaluate", f"answers={tmp_path}/none.parquet")
    with pytest.raises(UserError, match=r"answers=.*/none\.parquet: no such file or folder"):
        require_files(cfg)
    (tmp_path / "none.parquet").touch()
    require_files(cfg)
