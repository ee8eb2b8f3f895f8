"""corea.publish: what goes into the folder and onto the hub, and what stays at home."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import corea
from answer_tables import config, simulated
from corea.collecting.plan import folder_fingerprint
from corea.composition import compose
from corea.config import PublishConfig
from corea.errors import UserError
from corea.evaluation.pipeline import run_evaluation
from corea.publish import main
from corea.report.result_files import write_files
from corea.run_folder import prepare_run_dir
from hub_server import HubServer

TINY = Path(corea.__file__).parent / "models" / "tiny_slm"


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """A run folder with the packaged model as the trained one, and the evaluation of a simulated table."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    prepare_run_dir(folder, compose("train", "logger=none", "seed=7"))
    shutil.copytree(TINY, folder / "model", ignore=shutil.ignore_patterns("__pycache__"))
    now, before = simulated(20)
    now.to_parquet(folder / "answers.parquet", index=False)
    before.to_parquet(folder / "answers_before.parquet", index=False)
    cfg = config(folder / "answers.parquet", rule="max_drop", delta=0.1, confidence=None)
    write_files(run_evaluation(cfg), folder)
    (folder / "plots").mkdir()
    (folder / "plots" / "reliability.png").write_bytes(b"\x89PNG")
    return folder


@pytest.fixture
def run(finished, tmp_path) -> Path:
    shutil.copytree(finished, tmp_path / "run")
    bind(tmp_path / "run", folder_fingerprint(tmp_path / "run" / "model"))
    return tmp_path / "run"


def bind(run: Path, weights: str, **other) -> None:
    """Let operating_point.json say which weights its figures are of."""
    point = json.loads((run / "operating_point.json").read_text())
    point["models"] = {"0": {"name": "tiny_slm", "path": "model", "model": weights}, **other}
    (run / "operating_point.json").write_text(json.dumps(point))


def card_of(folder: Path) -> tuple[dict, str]:
    """(metadata, text) of a model card."""
    _, head, text = (folder / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    return yaml.safe_load(head), text


def test_the_folder_holds_model_card_and_operating_point(run, tmp_path, capsys):
    (run / "model" / "optimizer.pt").write_bytes(b"not to be published")
    main(PublishConfig(run=str(run), folder=str(tmp_path / "out"), name="sure-1m"))
    found = {f.relative_to(tmp_path / "out").as_posix() for f in (tmp_path / "out").rglob("*") if f.is_file()}
    assert found == {
        *(f.name for f in TINY.iterdir() if f.is_file()),
        *("README.md", "operating_point.json", "metrics.json", "frontier.csv", "plots/reliability.png"),
    }
    for name in ("model.safetensors", "tokenizer.json", "generation_config.json", "chat_template.jinja"):
        assert (tmp_path / "out" / name).read_bytes() == (run / "model" / name).read_bytes()
    assert capsys.readouterr().out == f"model: {tmp_path / 'out'} (11 files)\n"
    assert folder_fingerprint(tmp_path / "out") == folder_fingerprint(run / "model")
    point = json.loads((tmp_path / "out" / "operating_point.json").read_text())
    assert point["models"]["0"]["path"] == "."


def test_figures_of_the_card_are_those_of_the_results(run, tmp_path):
    main(PublishConfig(run=str(run), folder=str(tmp_path / "out"), name="sure-1m"))
    head, text = card_of(tmp_path / "out")
    metrics, point = (json.loads((run / n).read_text()) for n in ("metrics.json", "operating_point.json"))
    (index,) = head["model-index"]
    assert (index["name"], head["license"], head["pipeline_tag"]) == ("sure-1m", "apache-2.0", "text-generation")
    assert "base_model" not in head  # a packaged model is not on the hub
    first = {m["type"] + "/" + m["name"]: m["value"] for m in index["results"][0]["metrics"]}
    small, expected = metrics["datasets"]["in_domain"]["slm"], point["datasets"]["in_domain"]["expected"]
    assert first["ece/ECE of the confidence"] == round(small["ece"]["value"], 4)
    assert first["auroc/AUROC of the confidence"] == round(small["auroc"]["value"], 4)
    assert first["accuracy/pass@1 of the cascade"] == round(expected["accuracy"]["value"], 4)
    assert first["cost_change/relative change of cost against the large model alone"] == round(
        expected["cost_change"]["value"], 4
    )
    old, now = metrics["datasets"]["in_domain"]["slm_before"]["auroc"]["value"], small["auroc"]
    assert f"{old:.3f} → {now['value']:.3f} ({now['ci95'][0]:.3f} to {now['ci95'][1]:.3f})" in text
    assert f"| in_domain | {point['datasets']['in_domain']['thresholds'][0]:.4g} |" in text
    assert "![Reliability diagram" in text
    assert "plots/pareto.png" not in text  # it was not drawn
    assert "| seeds | training 7, data 0, evaluation 0 |" in text
    assert "r = 1 · correct + 0.1 · format + 1 · (−l1(confidence, group target))" in text
    assert "{{" not in text


def test_the_hub_reads_the_metadata_of_the_card(run, tmp_path):
    from huggingface_hub import ModelCard

    main(PublishConfig(run=str(run), folder=str(tmp_path / "out"), license="mit"))
    data = ModelCard.load(tmp_path / "out" / "README.md").data
    assert data.license == "mit"
    assert {r.dataset_type for r in data.eval_results} == {"in_domain", "other_math", "non_math"}
    assert {"accuracy", "ece", "auroc", "cost_change"} <= {r.metric_type for r in data.eval_results}


def test_a_dry_run_writes_and_sends_nothing(run, tmp_path, capsys):
    before = sorted(tmp_path.rglob("*"))
    main(PublishConfig(run=str(run), repo="me/tiny", folder=str(tmp_path / "out"), dry_run=True))
    shown = capsys.readouterr().out
    assert sorted(tmp_path.rglob("*")) == before
    assert "would upload to me/tiny on the hub (a new repository would be private)" in shown
    assert f"{(TINY / 'model.safetensors').stat().st_size:,} bytes  model.safetensors" in shown
    assert "vllm serve me/tiny" in shown


@pytest.mark.slow
def test_nothing_is_uploaded_without_a_repository(run, tmp_path):
    code = (
        f"import sys; from corea.config import PublishConfig; from corea.publish import main\n"
        f"main(PublishConfig(run={str(run)!r}, folder={str(tmp_path / 'out')!r}))\n"
        "print([m for m in ('torch', 'transformers', 'huggingface_hub', 'httpx', 'requests') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.slow
def test_an_upload_sends_the_files_in_one_commit(run, monkeypatch, capsys):
    with HubServer() as hub:
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub.url)
        monkeypatch.setenv("HF_TOKEN", "hf_abcdefgh")
        main(PublishConfig(run=str(run), repo="me/tiny"))
        created = [json.loads(body) for _, path, body in hub.requests if path.endswith("/repos/create")]
    (made,) = created
    assert (made["name"], made["organization"]) == ("tiny", "me")
    assert made.get("visibility") == "private" or made.get("private") is True  # older releases of the library
    assert hub.files["model.safetensors"] == (TINY / "model.safetensors").read_bytes()
    assert {"README.md", "operating_point.json", "plots/reliability.png"} <= hub.files.keys()
    assert b"hf_abcdefgh" not in b"".join(hub.files.values())
    assert capsys.readouterr().out.startswith("uploaded: http://127.0.0.1")


@pytest.mark.slow
def test_an_upload_that_fails_is_one_line(run, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(UserError, match=r"repo=me/tiny: the upload failed \(.*\); log in with `hf auth login`"):
        main(PublishConfig(run=str(run), repo="me/tiny"))


def refused(run: Path, **options) -> str:
    with pytest.raises((UserError, ValueError)) as caught:
        main(PublishConfig(run=str(run), **{"folder": str(run.parent / "out"), **options}))
    assert not (run.parent / "out" / "README.md").exists()
    return str(caught.value)


def test_mistakes_are_named(run, tmp_path):
    assert "repo=tiny: allowed is OWNER/NAME" in refused(run, repo="tiny")
    assert "folder=null: allowed is a folder, or repo=OWNER/NAME, or dry_run=true" in refused(run, folder=None)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.docx").touch()
    assert "out: holds other files (thesis.docx); give a new folder" in refused(run)
    bind(run, "sha256:0")
    assert "its figures are of other weights than" in refused(run)
    (run / "metrics.json").unlink()
    assert "metrics.json: no such file; the model card needs it: python -m corea.collect" in refused(run)
    shutil.rmtree(run / "model")
    assert "no model/ in this run folder" in refused(run)


def test_a_model_of_unknown_licence_is_not_uploaded(run):
    stored = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(stored.replace("path: package:tiny_slm", "path: someone/unknown-model"))
    message = "repo=me/tiny: the licence of the base model someone/unknown-model is unknown; give license=NAME"
    assert refused(run, repo="me/tiny") == message
    main(PublishConfig(run=str(run), folder=str(run.parent / "out")))
    head, text = card_of(run.parent / "out")
    assert (head.get("license"), head["base_model"]) == (None, "someone/unknown-model")
    assert "Unknown; that of the base model `someone/unknown-model` applies." in text


def test_secrets_are_refused_and_not_repeated(run, monkeypatch):
    token = "hf_" + "a1" * 17
    (run / "model" / "notes.txt").write_text(f"token {token}")
    bind(run, folder_fingerprint(run / "model"))
    assert refused(run) == "notes.txt: holds a Hugging Face token; nothing was published"
    (run / "model" / "notes.txt").write_text("the-secret-of-my-server")
    bind(run, folder_fingerprint(run / "model"))
    monkeypatch.setenv("MY_SERVER_TOKEN", "the-secret-of-my-server")
    assert "notes.txt: holds the value of the environment variable MY_SERVER_TOKEN" in refused(run)


@pytest.mark.slow
def test_other_tools_use_the_folder_as_it_is(tmp_path):
    """A run from training to publishing. transformers gives the same answers from the published folder as corea, and
    the cascade of its operating point starts from it."""
    small = [f"data.families.{name}.{split}={n}" for name, n in (("in_domain", 40), ("other_math", 0), ("non_math", 0))
             for split in ("calibration", "test")]  # fmt: skip
    run, out = tmp_path / "run", tmp_path / "elsewhere" / "model"
    train = ("trainer=debug", "trainer.steps=1", f"hydra.run.dir={run}")
    for arguments in (
        ("train", *train, *small),
        ("collect", f"run={run}", "signals=[verbalized]"),
        (
            "evaluate",
            f"answers={run}/answers.parquet",
            "cascade=fixed",
            "cascade.threshold=0.5",
            "cascade.resamples=50",
        ),
        ("publish", f"run={run}", f"folder={out}"),
    ):
        command = [sys.executable, "-m", f"corea.{arguments[0]}", *arguments[1:]]
        logged = ["logger=none"] if arguments[0] != "publish" else []
        done = subprocess.run([*command, *logged], capture_output=True, text=True, check=False, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    assert (out / "plots" / "reliability.png").stat().st_size > 1000
    shutil.rmtree(run)

    from transformers import AutoModelForCausalLM, AutoTokenizer

    from corea.engines.local.hf import HFEngine
    from corea.types import Sampling

    tokenizer, model = AutoTokenizer.from_pretrained(out), AutoModelForCausalLM.from_pretrained(out)
    messages = [{"role": "user", "content": "State the final answer to the following arithmetic problem: 4 + 3 + 1 ="}]
    inputs = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    written = model.generate(**inputs, max_new_tokens=24, do_sample=False)[0, inputs["input_ids"].shape[1] :]
    ((own,),) = HFEngine(str(out), dtype="float32").generate([messages], Sampling(temperature=0, max_tokens=24))
    assert written.tolist() == own.token_ids
    assert "<confidence>" in tokenizer.decode(written)

    (tmp_path / "asked.jsonl").write_text(json.dumps({"question": messages[0]["content"]}))
    ask = ["questions=asked.jsonl", f"operating_point={out}/operating_point.json", "hydra.run.dir=asked"]
    command = [sys.executable, "-m", "corea.answer", *ask]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "asked" / "answered.parquet").exists()
