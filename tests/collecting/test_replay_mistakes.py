"""engine=replay: tables that do not fit together, or hold values that are not allowed."""

import pytest

from corea.errors import UserError
from recorded_tables import LLM, QUESTIONS, SLM


class TestMistakes:
    """Loud about every row that does not match."""

    def fails(self, replay, message, *overrides):
        with pytest.raises(UserError) as caught:
            replay(*overrides)
        assert message in str(caught.value)
        assert "\n" not in str(caught.value)

    def tiers(self, write, slm=SLM, llm=LLM):
        return f"engine.tiers=[{write('slm.jsonl', slm)},{write('llm.jsonl', llm)}]"

    def test_no_tiers(self, replay):
        self.fails(replay, "engine.tiers=[]: allowed is one table")

    def test_an_answer_without_its_question(self, write, replay):
        extra = [*LLM, {"question_id": "z", "recorded_correct": 1}]
        self.fails(replay, "llm.jsonl: 1 question ids that are not in ", self.tiers(write, llm=extra))
        many = [*LLM, *({"question_id": f"z{i}", "recorded_correct": 1} for i in range(9))]
        self.fails(replay, "slm.jsonl: z0, z1, z2, z3, z4, …", self.tiers(write, llm=many))

    def test_a_question_without_an_answer(self, write, replay):
        self.fails(replay, "llm.jsonl: no row for 1 of 2 questions: b", self.tiers(write, llm=LLM[:1]))
        questions = f"engine.questions={write('q.jsonl', [*QUESTIONS, {'question_id': 'c'}])}"
        self.fails(replay, "slm.jsonl: no row for 1 of 3 questions: c", self.tiers(write), questions)

    def test_duplicates(self, write, replay):
        self.fails(replay, "slm.jsonl: 1 question ids occur more than once: b", self.tiers(write, slm=[*SLM, SLM[0]]))
        questions = f"engine.questions={write('q.jsonl', [*QUESTIONS, QUESTIONS[1]])}"
        self.fails(replay, "q.jsonl: 1 question ids occur more than once: b", self.tiers(write), questions)
        twice = [row | {"sample": 1} for row in (*SLM, *SLM)]
        self.fails(
            replay, "2 question ids occur more than once: b (sample 1), a (sample 1)", self.tiers(write, slm=twice)
        )

    def test_columns(self, write, replay):
        self.fails(
            replay, "no column id: set engine.columns.question_id", self.tiers(write), "engine.columns.question_id=id"
        )
        typo = "engine.columns.confidence=confidance"
        self.fails(replay, "engine.columns.confidence=confidance: no tier has this column", self.tiers(write), typo)
        part = "engine.columns.text=response.txt"
        nested = [{"question_id": i, "response": {"text": "5"}} for i in "ab"]
        said = "no column for text, answer or correct (no response.txt)"
        self.fails(replay, said, self.tiers(write, llm=nested, slm=nested), part)
        bare = [{"question_id": "a"}, {"question_id": "b"}]
        self.fails(replay, "no column for text, answer or correct", self.tiers(write, llm=bare))
        self.fails(replay, "engine.columns", self.tiers(write), "+engine.columns.colour=red")

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (
                {"recorded_confidence": 1.7},
                "recorded_confidence: outside [0, 1]: row 1, first 1.7 of question b",
            ),
            ({"recorded_confidence": "high"}, "column recorded_confidence: not a number"),
            ({"completion_tokens": 10**30}, "column completion_tokens: allowed is a finite number >= 0, at most 2^53"),
            ({"recorded_correct": 2}, "column recorded_correct: allowed is true, false, 1, 0 or null"),
            ({"question_id": None}, "column question_id: a value is required: row 1"),
        ],
    )
    def test_values(self, write, replay, change, message):
        self.fails(replay, message, self.tiers(write, slm=[SLM[0] | change, SLM[1]]))

    def test_neither_verdict_nor_gold(self, write, replay):
        slm = [SLM[0] | {"recorded_correct": None}, SLM[1]]
        said = "question b: neither a recorded verdict nor a gold answer to grade by: engine.columns.correct; "
        self.fails(replay, f"slm.jsonl: {said}engine.questions is not set", self.tiers(write, slm=slm))

    def test_lists_of_another_length(self, write, replay):
        self.fails(replay, "engine.names", self.tiers(write), "engine.names=[a]")
        self.fails(replay, "engine.prices", self.tiers(write), "engine.prices=[{input:1,output:1}]")

    def test_files(self, write, replay, tmp_path):
        self.fails(replay, "absent.jsonl: no such file", f"engine.tiers=[{tmp_path}/absent.jsonl]")
        (tmp_path / "bad.jsonl").write_text('{"question_id": "a"\n')
        self.fails(replay, "line 1 is not JSON", f"engine.tiers=[{tmp_path}/bad.jsonl]")
        (tmp_path / "empty.jsonl").write_text("")
        self.fails(replay, "the file is empty", f"engine.tiers=[{tmp_path}/empty.jsonl]")
