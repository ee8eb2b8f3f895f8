"""Files of other tools: detected by content, each read with the same three verdicts (right, wrong, right)."""

from __future__ import annotations

import json
import math
import os
import zipfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import tool_files as files
from corea.answers.importers.eval_archive import ZSTD
from corea.answers.importers.foreign_files import IMPORTERS, importer_of
from corea.answers.importers.model_tables import ModelTable, read_known
from corea.errors import UserError

FORMATS = Path(os.environ.get("COREA_SHARED_DATA", Path(__file__).parents[3] / "shared" / "data")) / "formats"
ONE_MODEL = {
    "lm_eval": ("lm-evaluation-harness samples", "org/tiny", ("0", "1", "2")),
    "lm_eval_choices": ("lm-evaluation-harness samples", "choices", ("0", "1", "2")),
    "inspect_json": ("Inspect log", "org/tiny", ("q0", "q1", "q2")),
    "inspect_eval": ("Inspect log", "org/tiny", ("q0", "q1", "q2")),
    "helm": ("HELM run", "org/tiny", ("id0", "id1", "id2")),
    "deepeval": ("DeepEval test run", "run", ("case_0", "case_1", "case_2")),
    "evalplus": ("EvalPlus results", "tiny", ("HumanEval/0", "HumanEval/1", "HumanEval/2")),
    "openai_evals": ("openai/evals log", "tiny", ("sums.0", "sums.1", "sums.2")),
    "verl": ("verl dump", "10", ("0", "1", "2")),
}
"""Maker of the file -> format, model, ids."""


def read(path: Path, pick: str | None = None, **names: str) -> list[ModelTable]:
    found = read_known(str(path), pick, names, "columns")
    assert found is not None
    return found.tables


def column(table: ModelTable, name: str) -> list[Any]:
    return table.columns.data[name].to_pylist()


@pytest.mark.parametrize("maker", ONE_MODEL)
def test_each_format_gives_its_ids_verdicts_and_model(tmp_path: Path, maker: str):
    tool, model, ids = ONE_MODEL[maker]
    (table,) = read(getattr(files, maker)(tmp_path))
    assert (table.tool, table.model) == (tool, model)
    assert column(table, "question_id") == list(ids)
    assert column(table, "correct") == [True, False, True]


@pytest.mark.parametrize("maker", [m for m in ONE_MODEL if m not in ("lm_eval_choices", "verl", "evalplus")])
def test_texts_questions_and_reference_answers_are_taken(tmp_path: Path, maker: str):
    (table,) = read(getattr(files, maker)(tmp_path))
    assert column(table, "text") == list(files.TEXTS)
    assert column(table, "question") == list(files.ASKED)
    assert column(table, "gold") == list(files.GOLDS)


def test_of_several_filters_the_one_that_reads_most_answers_is_taken_and_named(tmp_path: Path):
    path = files.lm_eval(tmp_path)
    found = read_known(str(path), None, {}, "columns")
    assert found is not None
    assert "correct from exact_match (filter loose)" in found.line
    assert column(found.tables[0], "answer") == ["7", "5", "9"]
    assert column(read(path, "strict")[0], "correct") == [True, False, False]
    assert column(read(path, "strict")[0], "answer") == ["7", "5", None]
    with pytest.raises(UserError, match="pick=firm: no such filter or metric; filters are strict, loose"):
        read(path, "firm")


@pytest.mark.parametrize("as_text", [False, True])
def test_the_confidence_of_a_choice_is_its_softmax_among_the_options(tmp_path: Path, as_text: bool):
    (table,) = read(files.lm_eval_choices(tmp_path, as_text))
    expected = [1 / (1 + math.exp(-1)), 1 / (1 + math.exp(-2.5)), 0.5]
    assert column(table, "confidence") == pytest.approx(expected)
    assert column(table, "text") == ["7", "0", "9"]
    assert column(table, "gold") == ["7", "4", "9"]


def test_the_users_columns_win_and_the_rest_is_taken(tmp_path: Path):
    path = files.lm_eval_choices(tmp_path)
    (table,) = read(path, correct="acc_norm", gold="doc.query")
    assert column(table, "correct") == [0.0, 0.0, 0.0]
    assert column(table, "gold") == list(files.ASKED)
    assert column(table, "text") == ["7", "0", "9"]
    assert column(read(path, "acc_norm")[0], "correct") == [False, False, False]
    with pytest.raises(UserError, match=r"columns\.correct=acc_nrm: no such column"):
        read(path, correct="acc_nrm")


def test_an_inspect_log_gives_tokens_latency_and_token_probability(tmp_path: Path):
    (table,) = read(files.inspect_json(tmp_path))
    assert column(table, "prompt_tokens") == [11, 11, 11]
    assert column(table, "latency_s") == [0.5, 0.5, 0.5]
    assert column(table, "confidence") == pytest.approx([0.5, 0.5, 0.5])
    assert column(table, "answer") == ["7", "5", "9"]
    assert column(table, "dataset") == ["sums"] * 3


def test_partial_credit_counts_as_wrong_and_is_said(tmp_path: Path):
    samples = files.inspect_samples()
    samples[0]["scores"]["match"]["value"] = "P"
    path = files.document(tmp_path / "log.json", {**files.INSPECT, "samples": samples})
    found = read_known(str(path), None, {}, "columns")
    assert found is not None
    assert column(found.tables[0], "correct") == [False, False, True]
    assert "partial credit (P) of match counts as wrong" in found.line
    with pytest.raises(UserError, match="pick=mach: no such scorer; allowed is length, match"):
        read(path, "mach")


def test_an_archive_with_zstandard_is_read(tmp_path: Path):
    plain = zipfile.ZipFile(files.inspect_eval(tmp_path, zipfile.ZIP_STORED))
    path = tmp_path / "packed.eval"
    with zipfile.ZipFile(path, "w") as archive:
        for info in plain.infolist():
            packed = pa.compress(plain.read(info), codec="zstd", asbytes=True)
            archive.writestr(info.filename, packed)
    data = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:  # name the method as a writer of Python 3.14 does
        places = [(i.header_offset + 8, i) for i in archive.infolist()]
    start = data.index(b"PK\x01\x02")
    for offset, info in places:
        data[offset : offset + 2] = ZSTD.to_bytes(2, "little")
        data[start + 10 : start + 12] = ZSTD.to_bytes(2, "little")
        start += 46 + len(info.filename)
    path.write_bytes(bytes(data))
    assert column(read(path)[0], "correct") == [True, False, True]


def test_an_archive_that_unpacks_to_far_more_than_its_size_is_refused(tmp_path: Path, monkeypatch):
    monkeypatch.setattr("corea.answers.importers.eval_archive.FREE_BYTES", 1 << 20)
    path = tmp_path / "bomb.eval"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("header.json", json.dumps(files.INSPECT))
        archive.writestr("samples/a_epoch_1.json", " " * (4 << 20))
    assert path.stat().st_size < 8 << 10
    with pytest.raises(UserError, match=r"bomb\.eval: unpacks to more than 200 times its size"):
        read(path)


def test_damaged_and_foreign_archives_are_refused_in_one_line(tmp_path: Path):
    whole = files.inspect_eval(tmp_path).read_bytes()
    broken = tmp_path / "broken.eval"
    place = whole.index(b"samples/q1_epoch_1.json") + len(b"samples/q1_epoch_1.json") + 3
    broken.write_bytes(whole[:place] + b"\xff\xff\xff\xff" + whole[place + 4 :])
    with pytest.raises(UserError, match=r"broken\.eval: not a readable \.eval archive"):
        read(broken)
    with zipfile.ZipFile(tmp_path / "other.eval", "w") as archive:
        archive.writestr("a.txt", "a")
    with pytest.raises(UserError, match=r"not an Inspect log: the archive has no header\.json"):
        read(tmp_path / "other.eval")
    (tmp_path / "text.eval").write_text("hello")
    assert importer_of(tmp_path / "text.eval") is None


def test_a_helm_run_is_read_by_folder_or_file_without_perturbed_copies(tmp_path: Path):
    folder = files.helm(tmp_path)
    for path in (folder, folder / "display_predictions.json", folder / "instances.json"):
        (table,) = read(path)
        assert column(table, "question_id") == ["id0", "id1", "id2"]
        assert column(table, "confidence") == [0.5, 0.5, 0.5]
    (folder / "instances.json").unlink()
    with pytest.raises(UserError, match=r"instances\.json: no such file; a HELM run needs"):
        read(folder)


def test_a_batch_has_failed_requests_and_cached_tokens_but_no_verdicts(tmp_path: Path):
    (table,) = read(files.openai_batch(tmp_path))
    assert column(table, "question_id") == ["q0", "q1", "q2", "q3"]
    assert column(table, "text") == [*files.TEXTS, ""]
    assert column(table, "finish_reason") == ["stop", "stop", "length", "error"]
    assert column(table, "error") == [None, None, None, "too busy"]
    assert column(table, "cached_tokens") == [3, 3, 3, None]
    assert column(table, "confidence") == [None, 1.0, None, None]
    assert "correct" not in table.columns.data


def test_the_responses_api_is_read_as_well(tmp_path: Path):
    parts = [{"type": "reasoning"}, {"type": "message", "content": [{"type": "output_text", "text": "It is 7."}]}]
    body = {"model": "tiny", "status": "completed", "output": parts, "usage": {"input_tokens": 9, "output_tokens": 4}}
    path = files.lines(tmp_path / "out.jsonl", [{"custom_id": "a", "response": {"body": body}, "error": None}])
    (table,) = read(path)
    assert column(table, "text") == ["It is 7."]
    assert column(table, "completion_tokens") == [4]


@pytest.mark.parametrize("as_lines", [False, True])
def test_providers_of_promptfoo_are_tiers_by_cost(tmp_path: Path, as_lines: bool):
    tiny, big = read(files.promptfoo(tmp_path, as_lines))
    assert (tiny.model, big.model) == ("x:tiny", "x:big")
    assert column(tiny, "correct") == [True, False, True]
    assert column(tiny, "gold") == list(files.GOLDS)
    assert column(big, "cost_usd") == [2.0, 2.0, 2.0]
    assert column(big, "latency_s") == [0.02, 0.02, 0.02]


def test_a_metric_of_deepeval_may_be_picked(tmp_path: Path):
    path = files.deepeval(tmp_path)
    assert column(read(path, "Tone")[0], "correct") == [True, True, True]
    with pytest.raises(UserError, match="pick=Mood: no such metric; allowed is success, Exact, Tone"):
        read(path, "Mood")


def test_the_tests_of_the_data_set_alone_may_be_picked_in_evalplus(tmp_path: Path):
    (table,) = read(files.evalplus(tmp_path), "base_status")
    assert column(table, "correct") == [True, True, True]
    assert column(table, "text") == list(files.TEXTS)


def test_inputs_that_all_occur_twice_in_a_verl_dump_are_samples(tmp_path: Path):
    rows = [{"input": q, "output": q, "gts": "1", "score": 0.0, "step": 1, "acc": True} for q in "aabb"]
    (table,) = read(files.lines(tmp_path / "1.jsonl", rows))
    assert column(table, "question_id") == ["0", "0", "1", "1"]
    assert column(table, "sample") == [0, 1, 0, 1]
    assert column(table, "correct") == [True] * 4
    (table,) = read(files.lines(tmp_path / "2.jsonl", rows[:3]))
    assert column(table, "question_id") == ["0", "1", "2"]


def test_a_benchmark_has_texts_lengths_and_latencies(tmp_path: Path):
    (table,) = read(files.vllm_bench(tmp_path))
    assert table.positional
    assert column(table, "text") == list(files.TEXTS)
    assert column(table, "latency_s") == [1.0, 0.25, 0.75]
    assert column(table, "completion_tokens") == [4, 4, 4]


def test_routerbench_leaves_out_scores_between_right_and_wrong(tmp_path: Path):
    path = files.routerbench(tmp_path)
    tiny, big = read(path)
    assert (tiny.model, column(tiny, "correct")) == ("tiny", [True, False, True])
    assert column(tiny, "text") == list(files.TEXTS)
    assert column(big, "cost_usd") == [0.02] * 3
    found = read_known(str(path), None, {}, "columns")
    assert found is not None
    assert "1 questions with a score that is neither 0 nor 1 are left out" in found.line


def test_models_of_routellm_are_tiers_by_accuracy(tmp_path: Path):
    tiny, big = read(files.routellm(tmp_path))
    assert (tiny.model, column(tiny, "correct")) == ("tiny", [True, False, True])
    assert (big.model, column(big, "correct")) == ("big", [True, True, True])


def test_no_file_is_detected_as_two_formats(tmp_path: Path):
    makers = [*ONE_MODEL, "openai_batch", "promptfoo", "vllm_bench", "routerbench", "routellm"]
    for maker in makers:
        (folder := tmp_path / maker).mkdir()
        detected = importer_of(getattr(files, maker)(folder))
        assert detected is not None
        assert [i.TOOL for i in IMPORTERS if i.detect(detected[1])] == [detected[0].TOOL]


def test_a_record_of_another_structure_is_one_line(tmp_path: Path):
    good = {"doc_id": 0, "resps": [["a"]], "filtered_resps": ["a"], "acc": 1.0}
    path = files.lines(tmp_path / "samples_a.jsonl", [good, {"resps": 5, "acc": 1.0}])
    with pytest.raises(UserError, match=r"begins like lm-evaluation-harness samples, but holds a record of another"):
        read(path)


def test_a_metric_between_right_and_wrong_is_no_verdict(tmp_path: Path):
    row = {"doc_id": 0, "resps": [["a"]], "filtered_resps": ["a"], "metrics": ["bleu"], "bleu": 0.4}
    path = files.lines(tmp_path / "samples_a.jsonl", [row])
    with pytest.raises(UserError, match=r"no metric gives right or wrong: bleu holds 0\.4; allowed are 0 and 1"):
        read(path)


@pytest.mark.skipif(not FORMATS.is_dir(), reason="the larger example files are not here")
@pytest.mark.parametrize(
    "path",
    [
        "deepeval/latest_test_run.json",
        "helm/{}",
        "inspect/{}.json",
        "lm_eval/samples_sums_{}_2026-01-01T00-00-00.jsonl",
        "lm_eval_mc/samples_mc_{}.jsonl",
        "openai_evals/{}.jsonl",
        "promptfoo/results.json",
        "promptfoo/results.jsonl",
        "routellm/mmlu_sums.csv",
        "routerbench/routerbench_0shot.csv",
        "verl/{}.jsonl",
    ],
)
def test_larger_files_give_the_accuracies_that_are_known_of_them(path: str):
    names = ("small", "large") if "{}" in path else ("",)
    tables = [table for name in names for table in read(FORMATS / path.format(name))]
    shares = [sum(map(bool, column(table, "correct"))) / len(table.columns) for table in tables]
    assert shares == ([0.625, 0.95] if len(tables) == 2 else [0.625])
