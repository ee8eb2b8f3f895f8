"""Small files in the layout of other tools: three questions about rivers and sums, invented for the tests."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

RIGHT = (True, False, True)
"""Verdicts of every file."""
TEXTS = ("It is 7.", "I say 5.", "It is 9.")
ASKED = ("3 + 4?", "2 + 2?", "4 + 5?")
GOLDS = ("7", "4", "9")


def lines(path: Path, rows: list[Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def document(path: Path, value: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))
    return path


def lm_eval(folder: Path) -> Path:
    """Two filters: the first one reads no answer from the third text."""
    rows = []
    for name in ("strict", "loose"):
        for n in range(3):
            lost = name == "strict" and n == 2
            rows.append(
                {
                    "doc_id": n,
                    "doc": {"question": ASKED[n], "answer": GOLDS[n]},
                    "target": GOLDS[n],
                    "arguments": {"gen_args_0": {"arg_0": f"Q: {ASKED[n]}\nA:", "arg_1": {"until": ["Q:"]}}},
                    "resps": [[TEXTS[n]]],
                    "filtered_resps": ["[invalid]" if lost else TEXTS[n].strip(".").split()[-1]],
                    "filter": name,
                    "metrics": ["exact_match"],
                    "doc_hash": "0",
                    "exact_match": float(RIGHT[n] and not lost),
                }
            )
    return lines(folder / "org__tiny" / "samples_sums_2026-02-03T04-05-06.789.jsonl", rows)


def lm_eval_choices(folder: Path, as_text: bool = False) -> Path:
    """Multiple choice between two options with log-likelihoods; newer versions write them as texts."""
    rows = []
    for n, (left, right) in enumerate([(-1.0, -2.0), (-3.0, -0.5), (-0.25, -0.25)]):
        pairs = [[str(v), "False"] if as_text else [v, False] for v in (left, right)]
        rows.append(
            {
                "doc_id": n,
                "doc": {"query": ASKED[n], "choices": [GOLDS[n], "0"], "gold": 0},
                "target": "0",
                "arguments": [[ASKED[n], f" {GOLDS[n]}"], [ASKED[n], " 0"]],
                "resps": [[pair] for pair in pairs],
                "filtered_resps": pairs,
                "filter": "none",
                "metrics": ["acc", "acc_norm"],
                "acc": float(RIGHT[n]),
                "acc_norm": 0.0,
            }
        )
    return lines(folder / "samples_choices.jsonl", rows)


def inspect_samples() -> list[dict[str, Any]]:
    return [
        {
            "id": f"q{n}",
            "epoch": 1,
            "input": [{"role": "user", "content": ASKED[n]}],
            "target": GOLDS[n],
            "output": {
                "model": "tiny",
                "choices": [
                    {
                        "message": {"role": "assistant", "content": [{"type": "text", "text": TEXTS[n]}]},
                        "stop_reason": "stop",
                        "logprobs": {"content": [{"token": "a", "logprob": 0.0}, {"token": "b", "logprob": -50.0}]},
                    }
                ],
                "usage": {"input_tokens": 11, "output_tokens": 4},
                "time": 0.5,
            },
            "scores": {
                "length": {"value": 17},
                "match": {"value": "C" if RIGHT[n] else "I", "answer": TEXTS[n][-2]},
            },
        }
        for n in range(3)
    ]


INSPECT = {"version": 2, "status": "success", "eval": {"task": "sums", "model": "org/tiny"}, "plan": {}}


def inspect_json(folder: Path) -> Path:
    return document(folder / "log.json", {**INSPECT, "samples": inspect_samples()})


def inspect_eval(folder: Path, compression: int = zipfile.ZIP_DEFLATED) -> Path:
    path = folder / "log.eval"
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("header.json", json.dumps(INSPECT))
        for sample in inspect_samples():
            archive.writestr(f"samples/{sample['id']}_epoch_1.json", json.dumps(sample))
        archive.writestr("summaries.json", "[]")
    return path


def helm(folder: Path) -> Path:
    """A run folder; one instance also stands there with a perturbation."""
    instances = [
        {
            "id": f"id{n}",
            "input": {"text": ASKED[n]},
            "references": [{"output": {"text": "0"}, "tags": []}, {"output": {"text": GOLDS[n]}, "tags": ["correct"]}],
        }
        for n in range(3)
    ]
    predictions = [
        {
            "instance_id": f"id{n}",
            "predicted_text": TEXTS[n],
            "train_trial_index": 0,
            "stats": {"num_prompt_tokens": 11, "quasi_exact_match": float(RIGHT[n]), "max_prob": 0.5},
        }
        for n in range(3)
    ]
    other = {"perturbation": {"name": "typos"}}
    document(folder / "run" / "instances.json", [*instances, {**instances[0], **other}])
    document(folder / "run" / "display_predictions.json", [*predictions, {**predictions[0], **other}])
    document(folder / "run" / "run_spec.json", {"adapter_spec": {"model": "org/tiny"}})
    return folder / "run"


def openai_batch(folder: Path) -> Path:
    """Three chat completions, the second one with log-probabilities; then a failed request."""
    rows = [
        {
            "id": f"batch_req_{n}",
            "custom_id": f"q{n}",
            "response": {
                "status_code": 200,
                "body": {
                    "model": "tiny",
                    "choices": [
                        {
                            "index": 0,
                            "message": {"role": "assistant", "content": TEXTS[n]},
                            "logprobs": {"content": [{"logprob": 0.0}]} if n == 1 else None,
                            "finish_reason": "length" if n == 2 else "stop",
                        }
                    ],
                    "usage": {
                        "prompt_tokens": 11,
                        "completion_tokens": 4,
                        "prompt_tokens_details": {"cached_tokens": 3},
                    },
                },
            },
            "error": None,
        }
        for n in range(3)
    ]
    failed = {"id": "x", "custom_id": "q3", "response": None, "error": {"code": "1", "message": "too busy"}}
    return lines(folder / "tiny_output.jsonl", [*rows, failed])


def promptfoo(folder: Path, as_lines: bool = False) -> Path:
    """Two providers; the expensive one is always right."""
    rows = [
        {
            "id": f"{n}{provider}",
            "cost": cost,
            "error": None,
            "failureReason": 0,
            "gradingResult": {"pass": right, "score": float(right)},
            "latencyMs": 20,
            "promptIdx": index,
            "provider": {"id": provider, "label": ""},
            "prompt": {"raw": f"Q: {ASKED[n]}", "label": "p"},
            "response": {"output": TEXTS[n], "tokenUsage": {"prompt": 11, "completion": 4, "total": 15}},
            "success": right,
            "testIdx": n,
            "vars": {"question": ASKED[n], "expected": GOLDS[n]},
            "testCase": {"vars": {"question": ASKED[n]}, "assert": []},
        }
        for index, (provider, cost, verdicts) in enumerate([("x:big", 2.0, (True,) * 3), ("x:tiny", 0.5, RIGHT)])
        for n, right in enumerate(verdicts)
    ]
    if as_lines:
        return lines(folder / "results.jsonl", rows)
    return document(folder / "results.json", {"evalId": "e", "results": {"version": 3, "results": rows}, "config": {}})


def deepeval(folder: Path) -> Path:
    cases = [
        {
            "name": f"case_{n}",
            "input": ASKED[n],
            "actualOutput": TEXTS[n],
            "expectedOutput": GOLDS[n],
            "success": RIGHT[n],
            "metricsData": [
                {"name": "Exact", "success": RIGHT[n], "score": float(RIGHT[n])},
                {"name": "Tone", "success": True},
            ],
            "completionTime": 0.5,
        }
        for n in range(3)
    ]
    return document(folder / "run.json", {"testCases": cases, "testPassed": 2, "testFailed": 1})


def evalplus(folder: Path) -> Path:
    solution = {n: {"solution": TEXTS[n], "plus_status": "pass" if RIGHT[n] else "fail"} for n in range(3)}
    tasks = {f"HumanEval/{n}": [{"task_id": f"HumanEval/{n}", "base_status": "pass", **solution[n]}] for n in range(3)}
    return document(folder / "tiny_eval_results.json", {"date": "2026-01-01", "hash": "0", "eval": tasks})


def openai_evals(folder: Path) -> Path:
    rows: list[dict[str, Any]] = [{"spec": {"completion_fns": ["tiny"], "eval_name": "sums.dev.v0"}}]
    for n in range(3):
        given = {"sample_id": f"sums.{n}", "run_id": "r", "created_at": "2026-01-01"}
        asked = [{"role": "user", "content": ASKED[n]}]
        judged = {"correct": RIGHT[n], "expected": GOLDS[n], "picked": TEXTS[n][-2]}
        rows.append({**given, "event_id": 2 * n, "type": "sampling", "data": {"prompt": asked, "sampled": [TEXTS[n]]}})
        rows.append({**given, "event_id": 2 * n + 1, "type": "match", "data": judged})
    return lines(folder / "tiny.jsonl", [*rows, {"final_report": {"accuracy": 0.67}}])


def verl(folder: Path) -> Path:
    rows = [
        {"input": f"user\n{ASKED[n]}\nassistant\n", "output": TEXTS[n], "gts": GOLDS[n], "score": s, "step": 10}
        for n, s in enumerate((1.0, -1.0, 1.0))
    ]
    return lines(folder / "10.jsonl", rows)


def vllm_bench(folder: Path) -> Path:
    value = {
        "model_id": "tiny",
        "duration": 3.0,
        "input_lens": [11, 11, 11],
        "output_lens": [4, 4, 4],
        "ttfts": [0.25, 0.25, 0.25],
        "itls": [[0.5, 0.25], [], [0.5]],
        "generated_texts": list(TEXTS),
        "errors": ["", "", ""],
    }
    return document(folder / "bench.json", value)


def routerbench(folder: Path) -> Path:
    rows = [
        f"s.{n},{ASKED[n]},sums,{float(r)},1.0,['{TEXTS[n]}'],['It is {GOLDS[n]}.'],0.001,0.02,x"
        for n, r in enumerate(RIGHT)
    ]
    half = "s.3,How is it?,talk,0.5,1.0,['a'],['b'],0.001,0.02,x"
    head = "sample_id,prompt,eval_name,tiny,big,tiny|model_response,big|model_response,tiny|total_cost,big|total_cost,o"
    path = folder / "routerbench.csv"
    path.write_text("\n".join([head, *rows, half]) + "\n")
    return path


def routellm(folder: Path) -> Path:
    """The strong model stands first."""
    path = folder / "answers.csv"
    path.write_text("prompt,big,tiny\n" + "".join(f'"{ASKED[n]}\nA. 1",True,{r}\n' for n, r in enumerate(RIGHT)))
    return path
