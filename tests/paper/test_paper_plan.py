"""The jobs of the study as data: what each of them runs, and what it needs."""

from __future__ import annotations

from dataclasses import asdict

import pytest
import yaml

from corea.composition import compose, conf_dir
from corea.errors import UserError
from study.costs import verb_of
from study.plan import Study, variant_runs
from study.recipes import RECIPES, Recipe, weights
from study.scales import broad, find_scale, qwen7b, tiny
from study.systems import systems_of

TINY = Study(scale=tiny(), root="out")


def value(command: tuple[str, ...], key: str) -> str | None:
    """The last value of an override."""
    found = [word.partition("=")[2] for word in command if word.startswith(f"{key}=")]
    return found[-1] if found else None


def test_the_main_part_is_every_recipe_with_every_seed_and_only_the_first_job_asks_the_llm():
    jobs = TINY.jobs("main")
    names = [f"main/{r}/seed{s}" for s in range(3) for r in ("before", "rlvr", "brier", "l1_sample", "corea")]
    assert [job.name for job in jobs] == names
    assert jobs[0].needs == ()
    assert all(job.needs == ("main/before/seed0",) for job in jobs[1:])
    models = [value(job.commands[-2], "llm.model") for job in jobs]
    assert models == [None, *["out/main/before/seed0/answers.parquet"] * 14]


@pytest.mark.parametrize("scale", [tiny(), qwen7b(8), broad("slm", "llm", "pairs.jsonl")], ids=lambda s: s.name)
def test_every_job_has_a_folder_and_a_name_of_its_own_and_follows_what_it_needs(scale):
    jobs = Study(scale=scale, root="out", seeds=2).jobs()
    seen: set[str] = set()
    for job in jobs:
        assert set(job.needs) <= seen
        assert job.name not in seen
        seen.add(job.name)
        for command in job.commands:
            folder = value(command, "hydra.run.dir") or value(command, "answers").removesuffix("/answers.parquet")
            assert folder == f"out/{job.name}"
    rows = {n for a in scale.ablations for v in a.variants for n in variant_runs(a, v, 2)}
    assert rows <= seen


def test_the_ablations_bring_the_jobs_that_they_need():
    jobs = [job.name for job in Study(scale=tiny(), root="out", seeds=1).jobs("ablations")]
    assert jobs == [
        *("main/before/seed0", "distance/l2_group/seed0", "distance/kl_sample/seed0", "distance/kl_group/seed0"),
        *("distance/log_sample/seed0", "group_size/4/seed0", "group_size/32/seed0", "size/0.2M/pretrain"),
        *("size/0.2M/cold", "size/1.9M/pretrain", "size/1.9M/cold", "size/0.2M/seed0", "size/1.9M/seed0"),
        *("weight/0.25/seed0", "weight/0.5/seed0", "weight/2/seed0"),
    ]


def test_an_slm_of_another_size_starts_from_its_own_cold_start_at_its_own_price():
    jobs = {job.name: job for job in TINY.jobs()}
    assert jobs["size/0.2M/seed1"].needs == ("main/before/seed0", "size/0.2M/cold")
    train = jobs["size/0.2M/seed1"].commands[0]
    assert value(train, "model.path") == "out/size/0.2M/cold/model"
    assert value(train, "model.price.output") == "0.22"
    assert value(jobs["size/0.2M/cold"].commands[0], "model.path") == "out/size/0.2M/pretrain/model"


def test_a_shortened_study_shortens_supervised_training_by_the_same_factor():
    jobs = {job.name: job for job in Study(scale=tiny(), root="out", steps=32).jobs()}
    assert value(jobs["main/corea/seed0"].commands[0], "trainer.steps") == "32"
    pretrain = jobs["size/0.2M/pretrain"].commands[0]
    assert (value(pretrain, "sft.steps"), value(pretrain, "sft.stop_after")) == ("500", "400")


def test_rows_of_ablations_that_a_recipe_has_run_have_its_configuration():
    def reward(name: str) -> dict:
        return yaml.safe_load((conf_dir() / "reward" / f"{name}.yaml").read_text())

    by_name = {ablation.name: ablation for ablation in tiny().ablations}
    shared = [v for v in by_name["distance"].variants if v.same_as]
    assert len(shared) == 3
    for variant in shared:
        own = reward(variant.same_as)
        assert f"{own['distance']}_{own['target']}" == variant.name
        assert own["calib"] == reward("corea")["calib"]
    shared = {v.name: reward(v.same_as)["calib"] for v in weights().variants if v.same_as}
    assert shared == {"0": 0.0, "1": 1.0}
    trainer = yaml.safe_load((conf_dir() / "trainer" / "tiny.yaml").read_text())
    assert [v.name for v in by_name["group_size"].variants if v.same_as] == [str(trainer["group_size"])]
    assert trainer["steps"] == tiny().steps


def test_a_further_reward_is_one_more_recipe():
    own = Recipe(name="mixed", train=("reward=corea", "reward.target=sample"), signals=("expected",))
    study = Study(scale=qwen7b(8), root="out", seeds=1, recipes=(*RECIPES, own))
    (job,) = [job for job in study.jobs() if job.name == "main/mixed/seed0"]
    assert job.commands[0][4:8] == ("corea.train", "experiment=paper_rlcc", "reward=corea", "reward.target=sample")
    names = [system.name for system in systems_of(study.recipes)]
    assert {"SLM alone, mixed", "mixed", "mixed + expected"} <= set(names)
    assert [n for n in names if "mixed" not in n] == [system.name for system in systems_of(RECIPES)]


def test_the_signals_of_the_tables_are_collected():
    by_name = {job.name: job.commands[-2] for job in TINY.jobs("main")}
    assert value(by_name["main/rlvr/seed0"], "signals") == "[verbalized,expected,avg_prob,probe,router]"
    assert value(by_name["main/corea/seed0"], "signals") == "[verbalized,expected,avg_prob]"
    large = {job.name: job.commands[-2] for job in Study(scale=qwen7b(8), root="out").jobs("main")}
    engines = {name: value(large[f"main/{name}/seed0"], "engine") for name in ("rlvr", "brier", "corea")}
    assert engines == {"rlvr": "hf", "brier": "vllm", "corea": "hf"}


def test_the_baselines_at_the_papers_scale_differ_from_it_in_the_reward_alone():
    for experiment, reward in (("paper_rlvr", "rlvr"), ("paper_brier", "brier"), ("paper_l1", "l1_sample")):
        text = (conf_dir() / "experiment" / f"{experiment}.yaml").read_text()
        assert yaml.safe_load(text) == {"defaults": ["paper_rlcc", {"override /reward": reward}]}
    paper, own = (asdict(compose("train", f"experiment={name}")) for name in ("paper_rlcc", "paper_l1"))
    assert own["reward"]["name"] == "l1_sample"
    assert {**own, "reward": None} == {**paper, "reward": None}


@pytest.mark.parametrize("name", ["main/rlvr/seed0", "size/0.2M/pretrain"])
def test_commands_of_the_study_compose(name):
    """A slow test runs them; this one shows a key that was renamed at once."""
    (job,) = [job for job in TINY.jobs() if job.name == name]
    for command in job.commands:
        verb, overrides = verb_of(command)
        kept = [o for o in overrides if not o.startswith(("run=", "answers="))]
        kept += ["answers=answers.parquet"] if verb == "corea.evaluate" else []
        assert compose(verb.removeprefix("corea."), *kept) is not None


def test_the_questions_of_a_scale_are_counted():
    families = compose("collect").data.families.values()
    assert sum(family.calibration + family.test for family in families) == tiny().held_out


def test_mistakes_are_named():
    with pytest.raises(UserError, match=r"^PART=mian: allowed is main, ablations, all, report$"):
        TINY.jobs("mian")
    with pytest.raises(UserError, match=r"^SCALE=huge: allowed is tiny, broad, qwen7b$"):
        find_scale("huge")
    with pytest.raises(UserError, match=r"^SCALE=broad: give SLM=FOLDER and LLM=FOLDER"):
        find_scale("broad", slm="a")
    with pytest.raises(UserError, match=r"^SCALE=tiny: SLM, LLM and PAIRS go with SCALE=broad$"):
        find_scale("tiny", llm="a")
