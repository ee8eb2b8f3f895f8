"""lm-evaluation-harness against corea.serve, with the real package; .ci/run installs it."""

import json

import pytest

pytest.importorskip("lm_eval", reason="needs the extra lm_eval")

pytestmark = pytest.mark.slow

TASK = """
task: echoes
dataset_path: json
dataset_kwargs: {{data_files: {{test: {folder}/echoes.jsonl}}}}
test_split: test
output_type: generate_until
doc_to_text: "{{{{question}}}}"
doc_to_target: "{{{{answer}}}}"
generation_kwargs: {{until: ["\\n"], max_gen_toks: 1000}}
metric_list: [{{metric: exact_match, aggregation: mean, higher_is_better: true}}]
"""


def evaluate(server, folder, model: str, **more):
    import lm_eval
    from lm_eval.tasks import TaskManager

    questions = [("7 sure", "7"), ("8 unsure", "8"), ("9 sure", "3")]
    rows = [{"question": q, "answer": a} for q, a in questions]
    (folder / "echoes.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "echoes.yaml").write_text(TASK.format(folder=folder))
    path = "chat/completions" if "chat" in model else "completions"
    found = lm_eval.simple_evaluate(
        model=model,
        model_args={
            "model": "corea",
            "base_url": f"{server.url}/v1/{path}",
            "tokenizer_backend": None,
            "tokenized_requests": False,
            "max_retries": 1,
            "num_concurrent": 1,
        },
        tasks=["echoes"],
        task_manager=TaskManager(include_path=str(folder), include_defaults=False),
        bootstrap_iters=0,
        **more,
    )
    return found["results"]["echoes"]


def test_local_completions_scores_the_cascade(server, tmp_path):
    found = evaluate(server, tmp_path, "local-completions", batch_size=2)
    assert found["exact_match,none"] == pytest.approx(2 / 3)


def test_local_chat_completions_scores_the_cascade(server, tmp_path):
    own = {"until": []}  # stop sequences would change what the cascade was calibrated for
    found = evaluate(server, tmp_path, "local-chat-completions", apply_chat_template=True, gen_kwargs=own)
    assert found["exact_match,none"] == pytest.approx(2 / 3)
