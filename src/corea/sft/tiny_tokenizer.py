"""The tokenizer of the tiny pair: bytes, plus one token for each phrase that the question templates repeat.

Every byte has a token, so no text is lost; numbers are read digit by digit and words letter by letter. A question takes
10-60 tokens instead of 100, so that training takes minutes on a CPU.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from corea.sft.traces import CONFIDENCE_GRID

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SPECIAL = ["<|end|>", "<|pad|>", "<|user|>", "<|assistant|>"]
CHAT_TEMPLATE = (
    "{% for m in messages %}{% if m.role == 'assistant' %}<|assistant|>{{ m.content }}<|end|>"
    "{% else %}<|user|>{{ m.content }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
TAGS = [
    "<think>",
    "</think>",
    "</think> <answer>",
    "</answer>",
    "<confidence>",
    "</answer> <confidence>",
    "</confidence>",
]
PHRASES = [
    "State the final answer to the following arithmetic problem: ",
    "Solve the following multiplication: ",
    ". Give only the result as your final answer.",
    "Your task is to count how many legs there are in total when given a list of animals.\n\n"
    "Now, how many legs are there in total if you have ",
    'How many times does the letter "',
    '" appear in the text: "',
    "Spell this word backward (example: sun -> nus): ",
    "Calculate ",
    " + ",
    " - ",
    " * ",
    " =",
    ", ",
    "?\n",
    '"?',
]


def build_tokenizer() -> PreTrainedTokenizerBase:
    """PreTrainedTokenizerFast with 256 bytes, the phrases, the animals, the tags and the 21 confidences."""
    from reasoning_gym.arithmetic.leg_counting import ANIMALS

    animals = [f" {name}{plural}" for name in ANIMALS for plural in ("", "s")]
    return make_tokenizer([*TAGS, *PHRASES, *animals], [])


def make_tokenizer(phrases: list[str], whole_words: list[str]) -> PreTrainedTokenizerBase:
    """PreTrainedTokenizerFast with 256 bytes, `phrases` wherever they stand, `whole_words` that are not part of a
    longer word, and the 21 confidences."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={char: i for i, char in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_tokens([AddedToken(p, normalized=False, special=False) for p in phrases])
    words = [*whole_words, *CONFIDENCE_GRID]
    tokenizer.add_tokens([AddedToken(w, normalized=False, special=False, single_word=True) for w in words])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=SPECIAL[0],
        pad_token=SPECIAL[1],
        additional_special_tokens=SPECIAL[2:],
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
        model_max_length=512,
    )
