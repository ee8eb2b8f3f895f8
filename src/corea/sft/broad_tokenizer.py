"""The tokenizer of the broad pair: bytes, plus one token for each phrase that the templates of its tasks repeat.

It is built like that of the tiny pair (corea.sft.tiny_tokenizer). Names of animals, people, days and months are one
token each; digits and letters stay single, so that arithmetic and spelling are visible to the model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from corea.sft.tiny_tokenizer import TAGS, make_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
RELATIONS = (
    "mother",
    "father",
    "daughter",
    "son",
    "wife",
    "husband",
    "sister",
    "brother",
    "grandmother",
    "grandfather",
    "aunt",
    "uncle",
    "niece",
    "nephew",
    "mother-in-law",
    "father-in-law",
)
SORT_TAIL = (
    "\nPlease follow the instruction below:\n"
    "## 1. Let all your answers be a list of numbers. Instead of reporting your answer as -69, -13, 1, 7, 11, 43, 59, "
    "61, use ['-69', '-13', '1', '7', '11', '43', '59', '61'] instead\n"
    "## 2. Convert all numbers in the square brackets as strings. For example, ['-69', '-13', '1', '7', '11', '43', "
    "'59', '61']\n"
)
WORD_HEAD = (
    "Your task is to sort words in ascending or descending order using ASCII/Unicode ordering.\n\n"
    "Your output should be a comma-separated list of words, e.g. word_1, word_2, word_3\n\n"
    "Now, sort these words in "
)
WORD_MIDDLE = " order (using ASCII/Unicode ordering) and return them as a comma-separated list: "

ARITHMETIC = [
    "State the final answer to the following arithmetic problem: ",
    "Calculate ",
    "Find the Greatest Common Divisor (GCD) of these numbers: ",
    ". Give only the GCD as your final answer.",
    "Find the value of ",
    " in the equation: ",
    "Solve for ",
    "Determine the value of ",
    " that satisfies: ",
    "Count how many prime numbers there are between ",
    " (inclusive) ?",
    "Your task is to count how many legs there are in total when given a list of animals.\n\n"
    "Now, how many legs are there in total if you have ",
]
GEOMETRY = [
    "Given a convex polygon with ",
    " sides, its first ",
    " interior angles are: ",
    "°. What is the measure of the remaining interior angle (in degrees)?",
    "A convex polygon has ",
    " sides. The measures of the first ",
    "°. Find the measure of the last interior angle.",
    "Consider a convex ",
    "-gon whose first ",
    "°. Determine the measure of the remaining angle.",
    "Return only the angle as your answer.Do not give the units in your answer.",
    ".0°, ",
    ".0",
]
TIME = [
    "What is the duration between ",
    "? Please answer in HH:MM.",
    "Calculate the time difference between ",
    ". Express the result in HH:MM.",
    "How much time elapsed from ",
    " to ",
    "? Give your answer in HH:MM.",
    "A meeting started at ",
    "A system operation started at ",
    "A database query started at ",
    "A flight departed at ",
    "A video call started at ",
    "A system backup started at ",
    "A conference call began at ",
    " and ended at ",
    " and completed at ",
    " and arrived at ",
    ". How long was the meeting? Answer in HH:MM.",
    ". What was the operation duration? Answer in HH:MM.",
    ". How long did the query take? Answer in HH:MM.",
    ". How long was the flight? Answer in HH:MM.",
    ". How long was the call? Answer in HH:MM.",
    ". What was the total backup duration? Answer in HH:MM.",
    ". How long was the conference? Answer in HH:MM.",
]
CALENDAR = [
    "If today is ",
    ", 2022, what day of the week will it be in ",
    ", 2022, what day of the week was it ",
    " days? ",
    " days ago? ",
    "Starting from ",
    ", 2022, which weekday falls after a ",
    "-day jump? ",
    ", 2022, which weekday was it ",
    " days before? ",
    "Count forward ",
    "Count backward ",
    " days from ",
    ", 2022 - what's the weekday? ",
    "Answer with the weekday's name (e.g., Monday, Tuesday, etc.).",
    "Provide the full name of the weekday.",
    "State the weekday (Monday through Sunday).",
    "Give the weekday name in full.",
    "Reply with just the weekday name.",
    "Write out the full weekday name.",
    "Respond with the weekday (Monday-Sunday).",
    "Answer using the complete weekday name.",
    "Name the day of the week in full.",
]
WORDS = [
    'How many times does the letter "',
    '" appear in the text: "',
    '"?',
    *(f"{WORD_HEAD}{direction}{WORD_MIDDLE}" for direction in ("ascending", "descending")),
    "Sort these numbers in ascending order: ",
    "Sort these numbers in descending order: ",
    SORT_TAIL,
    "['",
    "', '",
    "']",
]
REWRITING = [
    "A::B is a system with 4 tokens: `A#`, `#A`, `B#` and `#B`.\n\nAn A::B program is a sequence of tokens. "
    "Example:\n\n    B# A# #B #A B#\n\nTo *compute* a program, we must rewrite neighbor tokens, using the rules:\n\n"
    "    A# #A ... becomes ... nothing\n    A# #B ... becomes ... #B A#\n    B# #A ... becomes ... #A B#\n"
    "    B# #B ... becomes ... nothing\n\nIn other words, whenever two neighbor tokens have their '#' facing "
    "each-other,\nthey must be rewritten according to the corresponding rule.\n\n"
    "Now, consider the following program:\n\n",
    "\n\nReturn the final state of the program.\n",
    *(f"{space}{token}" for space in ("", " ") for token in ("A#", "#A", "B#", "#B")),
]
FAMILY = [
    " is married to ",
    ". They have a child called ",
    ". They have children called ",
    ".\n\nWhat is ",
    ".\n\nHow is ",
    ".\n\nWhat relation is ",
    " related to ",
    "? Respond only with the word that describes their relationship.",
    "? Provide the relationship in one word.",
    "? Answer with a single word.",
]
SYMBOLS = [" + ", " - ", " * ", " =", " = ", ", ", ", ?", " and ", "( ", " )"]
PHRASES = [*ARITHMETIC, *GEOMETRY, *TIME, *CALENDAR, *WORDS, *REWRITING, *FAMILY, *SYMBOLS]


def build_tokenizer() -> PreTrainedTokenizerBase:
    """PreTrainedTokenizerFast with 256 bytes, the phrases, the names, the tags and the 21 confidences."""
    from reasoning_gym.arithmetic.leg_counting import ANIMALS
    from reasoning_gym.graphs.family_relationships import FamilyRelationshipsConfig

    people = FamilyRelationshipsConfig()
    animals = [f"{name}{plural}" for name in ANIMALS for plural in ("", "s")]
    names = [*animals, *people.male_names, *people.female_names, *WEEKDAYS, *MONTHS, *RELATIONS]
    return make_tokenizer([*TAGS, *PHRASES], list(dict.fromkeys(names)))
