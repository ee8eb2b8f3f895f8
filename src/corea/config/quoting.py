"""Texts with special characters as overrides, quoted for Hydra's grammar and for the shell."""

from __future__ import annotations

import re
import shlex

PLAIN = re.compile(r"[\w./+:@%-]+", re.ASCII)
"""Texts that need no quotation marks, unless they are one of OTHER."""
OTHER = re.compile(r"true|false|null|[+-]?(inf|nan|[\d_.e+-]+)", re.IGNORECASE)
"""Texts that are read as a truth value, null or a number, which has another spelling: 1_000 is 1000."""


def quoted_override(key: str, text: str) -> str:
    """`key=text` as a shell passes it on to Hydra, which then reads exactly `text`; quoted only where it must be."""
    if PLAIN.fullmatch(text) and not OTHER.fullmatch(text):
        return f"{key}={text}"
    # In quotation marks, backslashes before a quotation mark and at the end escape each other; others are plain.
    escaped = re.sub(r'(\\*)("|$)', lambda match: 2 * match[1] + (r"\"" if match[2] else ""), text)
    return shlex.quote(f'{key}="{escaped}"')
