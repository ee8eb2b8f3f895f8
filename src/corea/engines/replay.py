"""ReplayEngine: answers that were recorded elsewhere, in the place of a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from corea.types import Completion, Message, Sampling


class ReplayEngine:
    """Engine on recorded completions (see corea.types.Engine).

    A completion may bring its recorded verdict along: `extra["recorded"]` is a dict with any of answer, correct,
    confidence, cost_usd. Where tokens were not recorded, `extra["tokens"]` is "unknown".
    """

    def __init__(self, completions: Mapping[str, Sequence[Completion]], *, model_name: str, texts: Mapping[str, str]):
        """
        Args:
            completions: question id -> its samples in order.
            texts: question text -> question id, for callers that know the text alone.
        """
        self.completions = completions
        self.texts = texts
        self.model_name = model_name

    def close(self) -> None:
        """Nothing is held."""

    def generate(self, prompts: Sequence[Sequence[Message]], sampling: Sampling) -> list[list[Completion]]:
        """The recorded samples of each prompt's question, found by the text of its last message."""
        return [self.recorded(self.texts.get(p[-1]["content"]), sampling.n) for p in prompts]

    def recorded(self, question_id: str | None, n: int) -> list[Completion]:
        """The first `n` samples of a question; completions with finish_reason "error" for those not recorded."""
        found = list(self.completions.get(question_id or "", ()))[:n]
        return found + [self._absent() for _ in range(n - len(found))]

    def _absent(self) -> Completion:
        return Completion(
            text="",
            finish_reason="error",
            prompt_tokens=0,
            completion_tokens=0,
            model=self.model_name,
            error="not recorded",
        )
