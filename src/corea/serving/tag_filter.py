"""Removes the tags of a completion from a text that arrives in pieces: what a client of a live cascade sees.

    <think>34+7 is 41</think> <answer>41</answer> <confidence>0.85</confidence>   becomes   41

<think> and <confidence> go with their contents, <answer> leaves its contents. A tag that is not closed hides the rest.
White space at both ends is removed.
"""

from __future__ import annotations

HIDDEN = ("think", "confidence")
OPEN = tuple(f"<{name}>" for name in (*HIDDEN, "answer"))
CLOSE = tuple(f"</{name}>" for name in (*HIDDEN, "answer"))
TAGS = (*OPEN, *CLOSE)


class TagFilter:
    """The visible part of one text. However it is split, the parts are those of the whole text."""

    def __init__(self, keep_tags: bool = False):
        """`keep_tags`: pass everything on unchanged."""
        self.keep_tags = keep_tags
        self.rest = ""
        """What may be the beginning of a tag."""
        self.until = ""
        """The tag that ends a hidden part; "" outside of one."""
        self.space = ""
        """White space that is visible only if more follows."""
        self.begun = False

    def feed(self, text: str) -> str:
        """The visible text that is certain after `text`."""
        if self.keep_tags:
            return text
        self.rest += text
        shown = []
        while self.rest:
            if self.until:
                if not self._skip_hidden():
                    break
                continue
            start = self.rest.find("<")
            if start != 0:
                end = len(self.rest) if start < 0 else start
                shown.append(self.rest[:end])
                self.rest = self.rest[end:]
                continue
            tag = next((tag for tag in TAGS if self.rest.startswith(tag)), None)
            if tag is not None:
                self.rest = self.rest[len(tag) :]
                self.until = f"</{tag[1:]}" if tag[1:-1] in HIDDEN else ""
            elif any(tag.startswith(self.rest) for tag in TAGS):
                break
            else:
                shown.append("<")
                self.rest = self.rest[1:]
        return self._trimmed("".join(shown))

    def end(self) -> str:
        """What is left when the text is over."""
        rest, self.rest = ("" if self.until else self.rest), ""
        return self._trimmed(rest)

    def _skip_hidden(self) -> bool:
        """Drop up to the closing tag; False if it has not come yet."""
        end = self.rest.find(self.until)
        if end < 0:
            self.rest = self.rest[-(len(self.until) - 1) :]
            return False
        self.rest, self.until = self.rest[end + len(self.until) :], ""
        return True

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
