"""The batch of the tiny SLM that the measurements of training_worker.py share."""

from __future__ import annotations

QUESTIONS, GROUP, MAX_TOKENS = 16, 16, 24
PLAIN = ["trainer.temperature=1.0", "trainer.loss.kl=0"]
"""No KL on either side: TRL's default."""
OVERRIDES = ["trainer=tiny", "logger=none", "trainer.optimizer.lr=1e-6", "trainer.optimizer.schedule=constant"]


def config(*overrides: str):
    """The configuration that both sides use."""
    from corea.composition import compose

    sizes = [f"trainer.questions={QUESTIONS}", f"trainer.group_size={GROUP}", f"model.max_tokens={MAX_TOKENS}"]
    return compose("train", *OVERRIDES, *sizes, "trainer.credit=whole", *PLAIN, *overrides)


def first_prompts() -> list:
    """Messages of the questions of the first step."""
    from corea.rl.rollout.step_questions import StepQuestions
    from corea.tasks.prompts import build_messages

    cfg = config()
    return [build_messages(cfg.model.prompt, q) for q in StepQuestions(cfg).take(0)[0]]
