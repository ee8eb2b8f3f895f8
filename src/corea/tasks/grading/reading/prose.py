"""Removes the prose around an answer: a lead ("The answer is"), a box, a reason after it."""

from __future__ import annotations

import re

from corea.tasks.grading.reading.normal import closing

_ADJECTIVES = (
    r"(?:(?:final|correct|right|best|most likely|richtige|korrekte|finale?|correcta|corretta|bonne|"
    r"正确|正確|最终|最終|最佳|правильный|окончательный|правильна)\s*)*"
)
_NOUN = (
    r"(?:answer|ans|solution|result|antwort|l[öo]sung|ergebnis|r[ée]ponse|respuesta|resposta|risposta|"
    r"soluci[óo]n|antwoord|svar|svaret|"
    r"odpowied[źz]|odpov[ěe]ď|vastaus|v[áa]lasz|r[ăa]spuns(?:ul)?|cevap|yan[ıi]t|jawaban(?:nya)?|đ[áa]p [áa]n|"
    r"(?:câu )?trả lời|alternativa|opç[ãa]o|opci[óo]n|opzione|ответ|відповідь|отговор|одговор|"
    r"απάντηση|答案|解答|回答|答え|答|正解|정답|답|الإجابة|الجواب|جواب|پاسخ|উত্তর|उत्तर|תשובה|"
    r"ค\u0e33ตอบ|ค\u0e4d\u0e32ตอบ)"
)
_IS = (
    r"(?:(?:\s*(?:is|was|would be|should be|seems to be|must be|ist|lautet|est|es|é|è|är|er|jest|adalah|là)"
    r"(?![^\W\d_])|"
    r"\s*(?:是|为|為|は|은|는|هي|هو|है|คือ))"
    r"(?:\s*(?:therefore|thus|simply|then|just|also|clearly|définitivement)\b)?\s*[:：]?|"
    r"\s*(?:[:：=→]|->|\\to\b)|\s*\()"
)
LEAD = re.compile(
    rf"(?:(?:so|thus|hence|therefore|and|ok|okay)\s*,?\s*)?(?:(?:the|my|our|die|das|der|la|le|el|il|a|"
    rf"o|het|de|het)\s+|l')?{_ADJECTIVES}"
    rf"(?:{_NOUN}|(?<=correct )(?:option|choice|letter)|(?<=right )(?:option|choice)|(?<=best "
    rf")(?:option|choice))(?:\s+(?:correcta?|corretta|correta|richtige|correcte|đúng|benar))?(?:\s+(?:choice|option|"
    rf"letter|value))?{_IS}\s*",
    re.IGNORECASE,
)
"""A lead, including its verb or colon. `(` is for "answer (C)"; `without_lead` restores it."""
NAMED = re.compile(
    rf"(?:(?:the|die|la|le|el|il)\s+)?{_ADJECTIVES}{_NOUN}\s*[-.]?\s*(?=[(\[]?[A-Z][)\]]?\.?$)", re.IGNORECASE
)
"""A lead without verb or colon before a letter: "Antwort D"."""
_THEN = re.compile(
    r"(?:(?:so|thus|hence|therefore|then|finally)\b\s*,?\s*(?:(?:we|you) (?:get|have|obtain|find)\b)?|"
    r"(?:we|you) (?:get|have|obtain|find)\b)(?:\s+that)?\s*[:,]?\s*"
    r"(?=[-+$\\(\[{.]|[0-9]|[A-Za-z](?:_\S+|\([^()]*\))?\s*(?:[=<>]|\\))",
    re.IGNORECASE,
)
"""Words before a formula that ends an argument: "Therefore x = 5"."""
_REASON = re.compile(
    r"\s*[,;.]?\s+(?:because|since|as shown|, as|due to|weil|denn|da|car|parce que|porque|perch[ée]|"
    r"ponieważ|потому|因为|なぜなら)\b.*",
    re.IGNORECASE | re.DOTALL,
)
NEGATION = re.compile(
    r"\b(?:not|no|never|wrong|incorrect|false|isn'?t|aren'?t|cannot|can'?t|n't|neither|nor|nicht|"
    r"kein\w*|falsch|pas|faux|non|"
    r"nunca|falso|incorrect[oa]|не|нет|неверно|неправильно|unless|except|rather than|instead of)\b|"
    r"\\n(?:e|eq|eg|ot)\b|不|错|違|아니",
    re.IGNORECASE,
)
_BOX = re.compile(r"\\f?boxed\s*(?:\{|(?=[0-9A-Za-z\\]))")


_SENTENCE = re.compile(
    r"(?:(?:so|thus|hence|therefore|and)\s*,?\s*)?(?:the|its|his|her|their|it|this)\b(?P<subject>[^;?!]*)\s"
    r"(?:is equal to|are equal to|equals?|is|are|was|will be|must be)\s+(?P<rest>[^;?!]+)",
    re.IGNORECASE | re.DOTALL,
)
_COPULA = re.compile(
    r"\b(?:is|are|was|were|equals?|be)\b(?!\s+(?:divided|divisible|increased|decreased|multiplied|raised|rounded|taken|chosen))",
    re.IGNORECASE,
)
_HEDGE = re.compile(
    r"\b(?:maybe|perhaps|possibly|probably|might|could|may|can|guess\w*|either|one of|if|or|another|"
    r"candidates?|think|believe|unsure|"
    r"sure|example|instance|about|around|approximately|roughly|nearly|almost|opposite|least|most|only|"
    r"but|alternative\w*|other)\b",
    re.IGNORECASE,
)


def sentence_answer(text: str) -> str:
    """The answer in one plain sentence: "The value of x is 4" gives 4. A hedge or negation is returned unchanged."""
    match = _SENTENCE.fullmatch(text)
    if match is None:
        return text
    subject = match["subject"]
    if len(_COPULA.findall(text)) > 1 or _HEDGE.search(text) or NEGATION.search(text) or re.search(r"\. ", subject):
        return text
    return match["rest"].strip()


def boxes(text: str) -> list[tuple[str, int, int]]:
    """(contents, start, end) of every `\\boxed{...}`; an unclosed one extends to the end of the text."""
    found: list[tuple[str, int, int]] = []
    for match in _BOX.finditer(text):
        if found and match.start() < found[-1][2]:
            continue
        if text[match.end() - 1] == "{":
            end = closing(text, match.end() - 1)
            inner, stop = (text[match.end() : end], end + 1) if end >= 0 else (text[match.end() :], len(text))
        else:
            token = re.match(r"\\?[A-Za-z]+|[0-9.,]*[0-9]|.", text[match.end() :])
            inner = token[0] if token else ""
            stop = match.end() + len(inner)
        found.append((inner.strip(), match.start(), stop))
    return found


def boxed_answer(text: str) -> tuple[str | None, str]:
    """(contents, "") of an answer with one box; (None, reason) if it cannot be used; (text, "") without a box.

    Two boxes with different contents are two guesses.
    """
    found = [b for b in boxes(text) if b[0]]
    if not found:
        return text, ""
    if len({b[0] for b in found}) > 1:
        return None, f"{len(found)} boxes with different contents"
    outside = text[: found[0][1]] + " " + text[found[-1][2] :]
    if NEGATION.search(outside):
        return None, "the words around the box negate it"
    if any(c.isalpha() for c in re.sub(r"\\[A-Za-z]+", "", outside)) or not outside.strip(" $.\\()[]*{}\n"):
        return found[-1][0], ""
    return text, ""


def without_lead(text: str) -> str:
    """Remove "The answer is" and the like, then "because ..."; or "Therefore" and the like before a formula."""
    match = LEAD.match(text)
    if match is None:
        return text[match.end() :] if (match := _THEN.match(text)) else text
    rest = text[match.end() :]
    if match[0].rstrip().endswith("("):
        rest = "(" + rest
    return _REASON.sub("", rest).strip() or text
