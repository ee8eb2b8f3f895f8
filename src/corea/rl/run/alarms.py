"""Alarms of a run that is going wrong, each with its remedy (DESIGN section 5). Pure; imports no torch.

An alarm looks at the mean of a figure over its last steps and is silent for as many steps after it has sounded. After a
resume the windows start anew: alarms are messages, nothing is computed from them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

WINDOW = 10
"""Steps a figure is averaged over."""
MISSING = float("nan")


class Mean:
    """Mean of the last WINDOW values; NaN before there are as many, and where one is NaN."""

    def __init__(self) -> None:
        self.values: deque[float] = deque(maxlen=WINDOW)

    def __call__(self, value: float) -> float:
        self.values.append(value)
        return sum(self.values) / WINDOW if len(self.values) == WINDOW else MISSING

    def clear(self) -> None:
        """Start again."""
        self.values.clear()


class Alarm:
    """One figure; subclasses say which, when it is too much and what to do."""

    def __init__(self) -> None:
        self.mean = Mean()

    def __call__(self, metrics: Mapping[str, float]) -> str | None:
        """The warning, or None. `metrics` are those of one step."""
        mean = self.mean(self.figure(metrics))
        if not self.bad(mean):
            return None
        self.mean.clear()
        return self.message(mean, metrics)

    def figure(self, metrics: Mapping[str, float]) -> float:
        """What is watched."""
        raise NotImplementedError

    def bad(self, mean: float) -> bool:
        """Whether it sounds; False for NaN."""
        raise NotImplementedError

    def message(self, mean: float, metrics: Mapping[str, float]) -> str:
        """What has happened and what helps."""
        raise NotImplementedError


class NarrowBand(Alarm):
    """Confidences have crowded together although questions differ in how hard they are.

    RLCR (arXiv 2507.16806) saw this with equally hard questions; temperature, prompt and a mix of difficulties help.
    """

    narrow = 0.05
    """Standard deviation."""

    def figure(self, metrics: Mapping[str, float]) -> float:
        return metrics.get("confidence/std", MISSING)

    def bad(self, mean: float) -> bool:
        return mean < self.narrow

    def message(self, mean: float, metrics: Mapping[str, float]) -> str:
        cause = (
            "the questions are about equally hard: mix difficulties in data"
            if metrics["pass_rate/std"] < 0.1
            else "raise trainer.temperature, lower trainer.optimizer.lr, or use a prompt that asks for the whole range"
        )
        return (
            f"confidence has collapsed to a narrow band (mean {metrics['confidence/mean']:.2f}, standard deviation "
            f"{mean:.3f} over {WINDOW} steps, {metrics['confidence/distinct']:.0f} distinct values); {cause}"
        )


class OneValue(Alarm):
    """Nearly all answers state the same confidence, a few others hide it from the standard deviation."""

    def figure(self, metrics: Mapping[str, float]) -> float:
        narrow = metrics.get("confidence/std", MISSING) < NarrowBand.narrow  # said already
        return 0.0 if narrow else metrics.get("confidence/top_share", MISSING)

    def bad(self, mean: float) -> bool:
        return mean > 0.95

    def message(self, mean: float, metrics: Mapping[str, float]) -> str:
        return (
            f"{mean:.0%} of the confidences of {WINDOW} steps are one value; raise trainer.temperature, take a longer "
            "cold start with varied confidences, or trainer.credit=segment"
        )


class Extremes(Alarm):
    """Only 0 and 1 are left."""

    def figure(self, metrics: Mapping[str, float]) -> float:
        return metrics.get("confidence/share_0", MISSING) + metrics.get("confidence/share_1", MISSING)

    def bad(self, mean: float) -> bool:
        return mean > 0.95

    def message(self, mean: float, metrics: Mapping[str, float]) -> str:
        return (
            f"{mean:.0%} of the confidences of {WINDOW} steps are 0 or 1; take a proper rule (reward=brier, l2_group "
            "or kl_group), raise reward.calib, or lower trainer.optimizer.lr"
        )


class LowEntropy(Alarm):
    """The policy has become nearly deterministic: groups agree, and there is nothing to learn from."""

    share = 0.05
    """Of the entropy at the start."""

    def __init__(self) -> None:
        super().__init__()
        self.start: float | None = None

    def figure(self, metrics: Mapping[str, float]) -> float:
        return metrics.get("entropy", MISSING)

    def bad(self, mean: float) -> bool:
        if self.start is None and mean == mean:
            self.start = mean
        return self.start is not None and mean < self.share * self.start

    def message(self, mean: float, metrics: Mapping[str, float]) -> str:
        return (
            f"entropy has fallen to {mean:.4f} nats a token from {self.start:.4f}; lower trainer.optimizer.lr, raise "
            "trainer.temperature, raise trainer.loss.eps_high, or add trainer.loss.kl"
        )


class Truncated(Alarm):
    """Most completions hit the limit."""

    def figure(self, metrics: Mapping[str, float]) -> float:
        return metrics.get("truncated_share", MISSING)

    def bad(self, mean: float) -> bool:
        return mean > 0.5

    def message(self, mean: float, metrics: Mapping[str, float]) -> str:
        return (
            f"{mean:.0%} of the completions of {WINDOW} steps were cut off at model.max_tokens; raise it, or check "
            "that the model's end-of-sequence token is the one it was trained with"
        )


class NoConfidence(Alarm):
    """Most completions state none that can be read."""

    def figure(self, metrics: Mapping[str, float]) -> float:
        return metrics.get("missing_confidence_share", MISSING)

    def bad(self, mean: float) -> bool:
        return mean > 0.5

    def message(self, mean: float, metrics: Mapping[str, float]) -> str:
        return (
            f"{mean:.0%} of the completions of {WINDOW} steps state no confidence that can be read; run a cold start "
            "(corea.sft), take model.prompt=confidence, or raise reward.format"
        )


class Alarms:
    """All of them."""

    def __init__(self) -> None:
        self.alarms = [NarrowBand(), OneValue(), Extremes(), LowEntropy(), Truncated(), NoConfidence()]

    def __call__(self, metrics: Mapping[str, float]) -> list[str]:
        """Warnings about one step."""
        return [warning for alarm in self.alarms if (warning := alarm(metrics)) is not None]
