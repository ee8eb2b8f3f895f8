"""A prompt of your own: a system message, one worked example, and a frame around the question."""

from corea.tasks.prompts import Prompt

careful = Prompt(
    system="Answer inside <answer> and </answer>. Then state the probability that it is correct inside <confidence> "
    "and </confidence>.",
    expects_confidence=True,
    examples=(("1 + 1 =", "<think></think> <answer>2</answer> <confidence>0.95</confidence>"),),
    question="Question: {question}",
)
