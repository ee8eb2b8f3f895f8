"""Removes the tags of a completion from a text that arrives in pieces: what a client of a live cascade sees.

    <think>34+7 is 41</think> <answer>41</answer> <confidence>0.85</confidence>   becomes   41

<think> and <confidence> go with their contents, <answer> leaves its contents. A tag that is not closed hides the rest.
A tag that only appears when another one inside of it is removed counts as a tag: `<th<answer>ink>` opens a hidden part.
White space at both ends is removed.
"""

from __future__ import annotations

import re

HIDDEN = ("think", "confidence")
OPEN = tuple(f"<{name}>" for name in (*HIDDEN, "answer"))
CLOSE = tuple(f"</{name}>" for name in (*HIDDEN, "answer"))
TAGS = (*OPEN, *CLOSE)
TAG = re.compile("|".join(map(re.escape, TAGS)))
BEGINNINGS = frozenset(tag[:length] for tag in TAGS for length in range(1, len(tag)))


class TagFilter:
    """The visible part of one text. However it is split, the parts are those of the whole text."""

    def __init__(self, keep_tags: bool = False):
        """`keep_tags`: pass everything on unchanged."""
        self.keep_tags = keep_tags
        self.open: list[str] = []
        """Beginnings of tags, the outer one first: each may become a tag once those inside of it are removed."""
        self.until = ""
        """The tag that ends a hidden part; "" outside of one."""
        self.hidden = ""
        """End of a hidden part, in which that tag may begin."""
        self.space = ""
        """White space that is visible only if more follows."""
        self.begun = False

    def feed(self, text: str) -> str:
        """The visible text that is certain after `text`."""
        if self.keep_tags:
            return text
        shown: list[str] = []
        place = 0
        while place < len(text):
            if self.until:
                place = self._skip_hidden(text, place)
            elif self.open:
                place = self._grow(text, place, shown)
            else:
                start = text.find("<", place)
                end = len(text) if start < 0 else start
                shown.append(text[place:end])
                place = end
                if start >= 0 and (tag := TAG.match(text, start)):  # the usual case, at once
                    self._pass(tag[0])
                    place = tag.end()
                elif start >= 0:
                    self.open.append("<")
                    place += 1
        return self._trimmed("".join(shown))

    def end(self) -> str:
        """The remaining visible text at the end."""
        rest, self.open = "".join(self.open), []
        return self._trimmed(rest)

    def _grow(self, text: str, place: int, shown: list[str]) -> int:
        """Add one character to the innermost beginning of a tag; returns the next place."""
        if text[place] == "<":
            self.open.append("<")
            return place + 1
        grown = self.open[-1] + text[place]
        if grown in TAGS:
            self.open.pop()
            self._pass(grown)
            return place + 1
        if grown in BEGINNINGS:
            self.open[-1] = grown
            return place + 1
        shown += self.open  # the character is visible, so none of them becomes a tag
        self.open.clear()
        return place

    def _pass(self, tag: str) -> None:
        """Leave out a whole tag, and what follows if its contents are hidden."""
        self.until = f"</{tag[1:]}" if tag[1:-1] in HIDDEN else ""

    def _skip_hidden(self, text: str, place: int) -> int:
        """The place after the closing tag; the end of the text if it has not come yet."""
        joined = self.hidden + text[place:]
        end = joined.find(self.until)
        if end < 0:
            self.hidden = joined[-(len(self.until) - 1) :]
            return len(text)
        place += end + len(self.until) - len(self.hidden)
        self.hidden, self.until = "", ""
        return place

    def _trimmed(self, text: str) -> str:
        whole = (self.space + text) if self.begun else text.lstrip()
        shown = whole.rstrip()
        if not shown:
            self.space = whole if self.begun else ""
            return ""
        self.space, self.begun = whole[len(shown) :], True
        return shown


def visible_text(text: str, keep_tags: bool = False) -> str:
    """The visible part of a whole text."""
    one = TagFilter(keep_tags)
    return one.feed(text) + one.end()
