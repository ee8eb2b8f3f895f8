"""Answers kept on disk: torn lines, damaged lines, a second writer, a full disk."""

import errno
import os

import pytest
from collect_helpers import config

from corea.collecting.answer_store import Store
from corea.collecting.plan import tiers_of
from corea.errors import UserError
from corea.types import Completion


@pytest.fixture
def tier(run):
    return tiers_of(config(run)[0])[-1]


def completion(text, finish_reason="stop"):
    return Completion(
        text=text,
        finish_reason=finish_reason,
        prompt_tokens=1,
        completion_tokens=2,
        token_ids=[1, 2],
        logprobs=[-0.1, -0.2],
        extra={"confidence_expected": 0.5},
    )


def reopened(store, tier):
    store.close()
    return Store(store.path.parent, tier)


def test_what_was_added_is_there_again(tmp_path, tier):
    store = Store(tmp_path, tier)
    store.add([("a", [completion("1"), completion("2")]), ("é\n", [completion("3\n\x00猫")])])
    store = reopened(store, tier)
    assert store.has("a", 2)
    assert not store.has("a", 3)
    assert [store.get("a", i).text for i in (0, 1)] == ["1", "2"]
    assert store.get("é\n", 0).text == "3\n\x00猫"
    assert store.get("a", 0).extra == {"confidence_expected": 0.5}
    assert store.get("a", 0).token_ids == []  # not kept
    store.close()


def test_errors_are_kept_for_the_table_but_asked_again(tmp_path, tier):
    store = Store(tmp_path, tier)
    store.add([("a", [completion("", "error")])])
    store = reopened(store, tier)
    assert not store.has("a", 1)
    store.add([("a", [completion("1")])])
    store = reopened(store, tier)
    assert store.get("a", 0).text == "1"
    store.close()


def test_half_of_a_surrogate_pair_is_replaced(tmp_path, tier):
    store = Store(tmp_path, tier)
    store.add([("a", [completion("1 \ud83d.")])])
    assert store.get("a", 0).text == "1 \ufffd."
    store.close()
    store.path.write_bytes(store.path.read_bytes().replace(b"ufffd", b"udc00"))  # as an earlier release wrote it
    store = Store(tmp_path, tier)
    assert store.get("a", 0).text == "1 \ufffd."
    store.close()


@pytest.mark.parametrize("torn", [b'{"question": "b", "sam', b"\x00\x00", b'{"question": "b"}'])
def test_a_torn_line_is_cut_off(tmp_path, tier, torn):
    store = Store(tmp_path, tier)
    store.add([("a", [completion("1")])])
    whole = store.path.read_bytes()
    store.close()
    store.path.write_bytes(whole + torn)
    store = Store(tmp_path, tier)
    assert store.path.read_bytes() == whole
    store.add([("b", [completion("2")])])
    store = reopened(store, tier)
    assert store.has("a", 1)
    assert store.has("b", 1)
    store.close()


def test_a_damaged_line_is_asked_again(tmp_path, tier):
    store = Store(tmp_path, tier)
    store.add([("a", [completion("1")]), ("b", [completion("2")])])
    store.close()
    lines = store.path.read_bytes().splitlines(keepends=True)
    store.path.write_bytes(lines[0] + b"garbage\n" + b"[1]\n" + b'{"question": "c"}\n' + lines[2])
    store = Store(tmp_path, tier)
    assert not store.has("a", 1)
    assert store.has("b", 1)
    store.close()


def test_one_writer_at_a_time(tmp_path, tier):
    store = Store(tmp_path, tier)
    with pytest.raises(UserError, match=r"another corea\.collect is writing to it"):
        Store(tmp_path, tier)
    store = reopened(store, tier)
    store.close()


def test_a_full_disk_leaves_whole_lines(tmp_path, tier, monkeypatch):
    store = Store(tmp_path, tier)
    store.add([("a", [completion("1")])])
    whole = store.path.read_bytes()
    real, calls = os.write, []

    def write(descriptor, data):  # half of it fits
        calls.append(1)
        if len(calls) == 1:
            return real(descriptor, data[: len(data) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", write)
    with pytest.raises(OSError, match="No space left") as caught:
        store.add([("b", [completion("2")])])
    monkeypatch.undo()
    assert caught.value.filename == str(store.path)
    assert store.path.read_bytes() == whole
    store.close()
