"""Which model, data and prompts a collection uses."""

import json
from dataclasses import replace

import pytest
from collect_helpers import config
from omegaconf import OmegaConf

from corea.collecting.plan import fingerprint, question_key, tiers_of, with_run_defaults
from corea.composition import compose, overrides_of
from corea.errors import UserError
from corea.run_folder import prepare_run_dir
from corea.types import Question


def planned(run, *overrides):
    return with_run_defaults(*config(run, *overrides))


def test_model_and_data_are_those_of_the_run(tmp_path):
    train = compose("train", "model=qwen0.5b", "model.max_tokens=77", "data.families.in_domain.test=3", "logger=none")
    prepare_run_dir(tmp_path, train)
    cfg = planned(tmp_path)
    assert (cfg.model, cfg.data) == (train.model, train.data)


def test_the_command_line_wins(tmp_path):
    prepare_run_dir(tmp_path, compose("train", "model=qwen0.5b", "data.families.in_domain.test=3", "logger=none"))
    cfg = planned(tmp_path, "model.max_tokens=5", "data.families.non_math.test=4")
    assert (cfg.model.name, cfg.model.max_tokens) == ("qwen0.5b", 5)
    assert (cfg.data.families["in_domain"].test, cfg.data.families["non_math"].test) == (3, 4)
    cfg = planned(tmp_path, "data=ood", "model.price.input=1")
    assert list(cfg.data.families) == ["other_math", "non_math"]
    assert (cfg.model.name, cfg.model.price.input) == ("qwen0.5b", 1)
    assert planned(tmp_path, "model=smollm2").model.name == "smollm2"


def test_overrides_win_from_python_as_on_the_command_line(tmp_path):
    prepare_run_dir(tmp_path, compose("train", "model=qwen0.5b", "data.families.in_domain.test=3", "logger=none"))
    cfg = compose("collect", f"run={tmp_path}", "data=ood", "model.max_tokens=5", "logger=none")
    cfg = with_run_defaults(cfg, overrides_of(cfg))
    assert list(cfg.data.families) == ["other_math", "non_math"]
    assert (cfg.model.name, cfg.model.max_tokens) == ("qwen0.5b", 5)


def test_the_tiers_of_a_run(run):
    before, small, large = tiers_of(planned(run))
    assert [t.label for t in (before, small, large)] == ["slm_before", "slm", "llm"]
    assert [t.tier for t in (before, small, large)] == [0, 0, 1]
    assert [t.path for t in (before, small, large)] == ["package:tiny_slm", str(run / "model"), "package:tiny_llm"]
    assert [t.expects_confidence for t in (before, small, large)] == [True, True, False]
    assert [t.label for t in tiers_of(planned(run, "before=false"))] == ["slm", "llm"]


def test_more_tiers(run):
    wanted = ["samples=2", "signals=[verbalized,expected,vote,router]", "llm.temperature=0.5"]
    more = ["+llm@larger.mid=openai", "larger.mid.model=m", "larger.mid.prompt=confidence", "+llm@larger.big=tiny"]
    tiers = tiers_of(planned(run, "before=false", *wanted, *more))
    assert [(t.tier, t.label, t.name) for t in tiers[1:]] == [
        (1, "llm", "tiny_llm"),
        (2, "larger-mid", "m"),
        (3, "larger-big", "tiny_llm"),
    ]
    # an engine gives what it can, nothing is fitted behind the first tier, and nobody comes after the last
    assert [t.signals for t in tiers[1:]] == [("verbalized", "expected", "vote"), ("verbalized",), ()]
    assert [t.expects_confidence for t in tiers[1:]] == [True, True, False]
    with pytest.raises(UserError, match=r"larger.mid.max_tokens=0: allowed is "):
        planned(run, "+llm@larger.mid=tiny", "larger.mid.max_tokens=0")
    with pytest.raises(ValueError, match=r"larger=a b: allowed is names of letters"):
        replace(planned(run), larger={"a b": None})


def test_an_answer_is_bound_to_all_it_depends_on(run):
    before, small, large = tiers_of(planned(run))
    assert before.identity() != small.identity()  # other weights
    assert replace(small, name="x", price=large.price, samples=4, label="y").identity() == small.identity()
    for change in ({"max_tokens": 1}, {"temperature": 0.3}, {"seed": 9}, {"prompt": "answer"}, {"dtype": "bfloat16"}):
        assert replace(small, **change).identity() != small.identity()


def test_fingerprints(run):
    first = fingerprint(str(run / "model"))
    assert first == fingerprint(str(run / "model"))
    settings = json.loads((run / "model" / "config.json").read_text())
    (run / "model" / "config.json").write_text(json.dumps(settings | {"x": 1}))
    assert fingerprint(str(run / "model")) != first
    assert fingerprint("Qwen/Qwen2.5-0.5B-Instruct") == "Qwen/Qwen2.5-0.5B-Instruct"


def test_a_question_is_its_id_and_its_text():
    one = Question(id="a", dataset="d", source="s", split="test", text="3 + 4", gold="7")
    assert question_key(one) == question_key(replace(one, gold="8"))
    assert len({question_key(q) for q in (one, replace(one, id="b"), replace(one, text="3 + 5"))}) == 3


class TestMistakes:
    def test_no_model_yet(self, run):
        (run / "model").rename(run / "elsewhere")
        with pytest.raises(UserError, match=r"no model/ in this run folder \(nothing was trained there\)"):
            tiers_of(planned(run))
        (run / "checkpoints" / "step_5").mkdir(parents=True)
        with pytest.raises(UserError, match=r"no model/ in this run folder \(it has checkpoints; start the training"):
            tiers_of(planned(run))

    def test_not_a_run_folder(self, tmp_path):
        with pytest.raises(UserError, match="not the folder of a training run"):
            planned(tmp_path)

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("{", "cannot be read"),
            ("[1]", "has no model"),
            ("model: 3", "has no model"),
            ("model: {name: a, path: b}", "has no data"),
            ("{model: {colour: red}, data: {}}", "model cannot be used"),
            ("{model: {max_tokens: 0, name: a, path: b}, data: {}}", "model cannot be used .*max_tokens=0"),
        ],
    )
    def test_a_damaged_configuration(self, tmp_path, text, message):
        (tmp_path / "config.yaml").write_text(text)
        with pytest.raises(UserError, match=message) as caught:
            planned(tmp_path)
        assert "\n" not in str(caught.value)

    def test_samples_of_a_greedy_model(self):
        with pytest.raises(UserError, match="samples=2: allowed is 1 with temperature=0"):
            compose("collect", "samples=2", "temperature=0")

    def test_a_run_that_is_replayed(self, run):
        with pytest.raises(UserError, match=r"run=.*: allowed is nothing with engine=replay"):
            compose("collect", "engine=replay", f"run={run}")

    def test_an_unknown_prompt(self):
        with pytest.raises(UserError, match=r"llm\.prompt=polite: allowed is plain, "):
            compose("collect", "llm.prompt=polite")


def test_a_stored_configuration_is_whole(run):
    stored = OmegaConf.load(run / "config.yaml")
    assert {"model", "data"} <= stored.keys()
