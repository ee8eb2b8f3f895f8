"""Find the records inside any JSON document, and write a record as flat paths to its values."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

DEEPEST = 5
"""Levels of a document, and of a record, that are looked at."""
KEY, GROUP = "_key", "_group"
"""Names under which a record keeps its key in an object of records, and the name of its list among several."""
Record = dict[str, Any]


def find_records(document: Any) -> tuple[list[Record], str]:
    """The largest group of records in a document, and where it is ("" for the document itself).

    Groups are: a list of objects; an object whose values are objects with a common key (their keys become KEY);
    a table of W&B or pandas ({"columns": [...], "data": [[...]]}); an object of lists of the same length; and several
    lists of objects beside each other with the same keys (the names of the lists become GROUP).
    """
    best: tuple[list[Record], str] = ([], "")
    for records, where in _groups(document, "", 0):
        if len(records) > len(best[0]):
            best = records, where
    return best


def _groups(value: Any, where: str, depth: int) -> Iterator[tuple[list[Record], str]]:
    if isinstance(value, list) and value and all(isinstance(v, dict) for v in value):
        yield value, where
        if len(value) == 1:
            yield from _groups(value[0], where, depth + 1)
    elif isinstance(value, dict) and depth < DEEPEST:
        yield from ((found, where) for found in (_table(value), _lists(value), _keyed(value), _columns(value)) if found)
        for key, inner in value.items():
            yield from _groups(inner, f"{where}.{key}".lstrip("."), depth + 1)


def is_table(value: Any) -> bool:
    """Whether this is a table as W&B and pandas write it."""
    names, rows = (value.get("columns"), value.get("data")) if isinstance(value, dict) else (None, None)
    if not isinstance(names, list) or not isinstance(rows, list) or not all(isinstance(n, str) for n in names):
        return False
    return bool(rows) and all(isinstance(row, list) and len(row) == len(names) for row in rows)


def _table(value: Record) -> list[Record]:
    return [dict(zip(value["columns"], row, strict=True)) for row in value["data"]] if is_table(value) else []


def _lists(value: Record) -> list[Record]:
    """Records of several lists (or objects of records) with the same keys, each with the name of its list."""
    lists = {}
    for key, inner in value.items():
        rows = _keyed(inner) if isinstance(inner, dict) else inner
        if isinstance(rows, list) and rows and all(isinstance(row, dict) for row in rows):
            lists[key] = rows
    same = len({len(v) for v in lists.values()}) == 1 and len({frozenset(v[0]) for v in lists.values()}) == 1
    return [{GROUP: k, **row} for k, rows in lists.items() for row in rows] if len(lists) > 1 and same else []


def _keyed(value: Record) -> list[Record]:
    """Records under their ids; at most two other values may stand among them."""
    inner = {k: v for k, v in value.items() if isinstance(v, dict)}
    if len(inner) < 2 or len(inner) < len(value) - 2 or not set.intersection(*(set(v) for v in inner.values())):
        return []
    return [{KEY: k, **row} for k, row in inner.items()]


def _columns(value: Record) -> list[Record]:
    """Records of lists with the same length; other values of the object are left out."""
    lists = {k: v for k, v in value.items() if isinstance(v, list) and len(v) > 1}
    if len(lists) < 2 or len({len(v) for v in lists.values()}) > 1:
        return []
    return [dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True)]


def is_chat(value: Any) -> bool:
    """Whether this is a list of messages with roles."""
    return isinstance(value, list) and bool(value) and all(isinstance(m, dict) and "role" in m for m in value)


def flat(record: Record) -> Record:
    """Path -> value: of objects every part, of lists the whole list and the parts of its first element,
    of chats the whole list."""
    found: Record = {}
    _flatten(record, "", 0, found)
    return found


def _flatten(value: Any, path: str, depth: int, found: Record) -> None:
    if isinstance(value, dict) and depth < DEEPEST:
        for key, inner in value.items():
            _flatten(inner, f"{path}.{key}" if path else str(key), depth + 1, found)
        return
    if path:
        found[path] = value
    if isinstance(value, list) and value and not is_chat(value) and depth < DEEPEST:
        _flatten(value[0], f"{path}.0", depth + 1, found)
