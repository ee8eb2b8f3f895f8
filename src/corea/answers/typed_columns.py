"""The columns of one answers file as typed arrays, with errors that name file, rows and column.

N is the number of rows. Rows are counted from 1, without a CSV file's header; JSONL syntax errors name the line.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from corea.tabular import Columns
from corea.tabular_text import refuse
from corea.types import RETRIES, Outcome, Status

TEXT = ("text", "answer", "question", "gold")
"""Columns that only an audit reads."""
TEXTUAL = (
    pa.types.is_string,
    pa.types.is_large_string,
    pa.types.is_string_view,
    pa.types.is_binary,
    pa.types.is_large_binary,
    pa.types.is_binary_view,
)
TOKENS = ("prompt_tokens", "cached_tokens", "completion_tokens", *RETRIES)
UNGRADED = (Status.ERROR, Status.TRUNCATED, Status.UNPARSED_ANSWER)
"""Statuses with which a null verdict counts as wrong."""
DIGITS = 12
"""Decimals of a confidence that are kept, so that 0.7000000000000001 from a reader or a sum is 0.7."""
ONE_DATASET = "all"
"""Name of the dataset of a table without the column dataset."""
RIGHT = ("true", "1", "1.0", "yes", "pass", "passed", "correct", "right", "up", "t", "y", "c")
WRONG = ("false", "0", "0.0", "no", "fail", "failed", "incorrect", "wrong", "down", "f", "n", "i")
TRUTH = {**dict.fromkeys(RIGHT, 1.0), **dict.fromkeys(WRONG, 0.0)}
"""Verdict as a word, in lower case -> its value."""
PERCENT_HINT = 2.0
"""Messages suggest percentages if a confidence is at least this value."""
LARGEST = 2**53
"""Whole numbers up to here are exact in float64."""


def floats(columns: Columns, name: str, percent: bool = False) -> np.ndarray:
    """Column as float64 [N]; null becomes NaN. NaN that is not null, and text that is not a number, are errors.

    `percent`: ignore a percent sign after a number.
    """
    array = _plain(columns, name)
    null = np.asarray(array.is_null())
    if pa.types.is_string(array.type):
        values = _from_text(columns, name, array, percent)
    elif pa.types.is_null(array.type):
        return np.full(len(array), np.nan)
    elif pa.types.is_floating(array.type) or pa.types.is_integer(array.type) or pa.types.is_decimal(array.type):
        values = _widened(array)
    else:
        raise columns.fail(name, ~null, f"holds {array.type}; allowed are numbers")
    nan = np.isnan(values) & ~null
    if nan.any():
        raise columns.fail(name, nan, "NaN is not a number; a missing value is null")
    return values


def _plain(columns: Columns, name: str) -> pa.Array:
    """The column without dictionary encoding, with all text types as string; lists and objects are an error."""
    array = columns.data[name]
    nested = columns.nested.get(name)
    if nested is None and pa.types.is_nested(array.type):
        nested = np.asarray(array.is_valid())
    if nested is not None and nested.any():
        value = array[int(np.flatnonzero(nested)[0])].as_py()
        part = _first_part(json.loads(value) if isinstance(value, str) else value)
        where = columns.names.get(name, name)
        raise columns.fail(name, nested, f"holds a list or an object; a part of it is named like {where}{part}")
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if any(kind(array.type) for kind in TEXTUAL):
        try:
            return array.cast(pa.string())
        except pa.ArrowException as error:
            raise refuse(
                columns.path, f"column {columns.names.get(name, name)}: holds bytes that are not UTF-8"
            ) from error
    return array


def _first_part(value: Any) -> str:
    """Path to the first plain value inside: ".0.text" of [{"text": ...}]."""
    path = ""
    while isinstance(value, list | dict) and value:
        step = 0 if isinstance(value, list) else next(iter(value))
        path += f".{step}"
        value = value[step]
    return path


def _widened(array: pa.Array) -> np.ndarray:
    """Numbers as float64. Short floats are converted by their shortest decimal form, so that a float32 0.7 is 0.7."""
    if pa.types.is_float32(array.type) or pa.types.is_float16(array.type):
        short = array.to_numpy(zero_copy_only=False)
        distinct, inverse = np.unique(short, return_inverse=True)
        return np.array([float(str(v)) for v in distinct])[inverse]
    return pc.cast(array, pa.float64(), safe=False).to_numpy(zero_copy_only=False)


def _from_text(columns: Columns, name: str, array: pa.Array, percent: bool) -> np.ndarray:
    def number(text: str | None) -> float | None:
        if text is None:
            return np.nan
        try:
            return float(text.rstrip().removesuffix("%") if percent else text)
        except ValueError:
            return None

    parsed = [number(v) for v in array.to_pylist()]
    bad = np.array([v is None for v in parsed])
    if bad.any():
        values = [v for v, is_bad in zip(array.to_pylist(), bad, strict=True) if is_bad]
        signs = all(v.rstrip().endswith("%") for v in values)
        hint = " (percentages are read with confidence_scale=100)" if signs and name.startswith("confidence") else ""
        raise columns.fail(name, bad, f"not a number{hint}")
    return np.array(parsed, dtype=np.float64)


def integers(columns: Columns, name: str, low: int = 0, missing: int | None = None) -> np.ndarray:
    """Column as int64 [N], each >= `low`; others are errors, except null if `missing` replaces it."""
    values = floats(columns, name)
    if missing is not None:
        values = np.where(np.isnan(values), missing, values)
    bad = ~((values >= low) & (values <= LARGEST)) | (values != np.floor(values))
    if bad.any():
        raise columns.fail(name, bad, f"allowed is a whole number >= {low}")
    return values.astype(np.int64)


def verdicts(columns: Columns, name: str) -> np.ndarray:
    """Column as float64 [N]: 1 right, 0 wrong, NaN not graded (null). Booleans, 0/1 and the words of TRUTH."""
    array = _plain(columns, name)
    null = np.asarray(array.is_null())
    if pa.types.is_boolean(array.type):
        values = pc.cast(array, pa.int8()).cast(pa.float64()).to_numpy(zero_copy_only=False)
    elif pa.types.is_string(array.type):
        values = np.array([TRUTH.get((v or "").strip().lower(), np.nan) for v in array.to_pylist()], dtype=np.float64)
    else:
        values = floats(columns, name)
    bad = ~null & (values != 0) & (values != 1)
    if bad.any():
        words = " (or yes/no, pass/fail, correct/incorrect, C/I)" if pa.types.is_string(array.type) else ""
        raise columns.fail(name, bad, f"allowed is true, false, 1, 0 or null{words}")
    return values


def texts(columns: Columns, name: str, required: bool = False) -> pa.Array:
    """Column as Arrow strings [N]; numbers are written out. Null is an error where `required`."""
    array = _plain(columns, name)
    if pa.types.is_floating(array.type):
        values = array.to_pylist()
        values = [None if v is None or v != v else v for v in values]
        array = pa.array([None if v is None else str(int(v)) if v % 1 == 0 else str(v) for v in values], pa.string())
    elif not pa.types.is_string(array.type):
        try:
            array = array.cast(pa.string())
        except pa.ArrowException as error:
            where = columns.names.get(name, name)
            raise refuse(columns.path, f"column {where}: holds {array.type}; allowed is text") from error
    null = np.asarray(array.is_null())
    if required and null.any():
        raise columns.fail(name, null, "a value is required")
    return array


def one_of(columns: Columns, name: str, allowed: Iterable[str]) -> pa.Array:
    """Column as Arrow strings [N], each null or one of `allowed`."""
    array = texts(columns, name)
    allowed = list(allowed)
    bad = ~np.asarray(pc.is_in(array, pa.array(allowed))) & np.asarray(array.is_valid())
    if bad.any():
        raise columns.fail(name, bad, f"allowed is {', '.join(allowed)}")
    return array


def typed_frame(columns: Columns, scale: float = 1.0) -> pd.DataFrame:
    """The columns of an answers table, each checked on its own; rows as in the file; confidences divided by `scale`."""
    data, rows = columns.data, len(columns)
    frame: dict[str, Any] = {"question_id": texts(columns, "question_id", required=True)}
    frame["tier"] = integers(columns, "tier")
    frame["sample"] = integers(columns, "sample", missing=0) if "sample" in data else np.zeros(rows, np.int64)
    for name in ("dataset", "split", "model", "outcome"):
        if name in data:
            frame[name] = _category(texts(columns, name, required=name == "dataset"))
    if "dataset" not in data:
        frame["dataset"] = pd.Categorical.from_codes(np.zeros(rows, np.int8), [ONE_DATASET])
    if "status" in data:
        frame["status"] = _category(one_of(columns, "status", [s.value for s in Status]))
    correct = verdicts(columns, "correct")
    frame["graded"] = ~np.isnan(correct)
    _check_graded(columns, frame)
    frame["correct"] = np.nan_to_num(correct)
    for name in data:
        if name.startswith("confidence"):
            frame[name] = confidences(columns, name, scale)
    for name in ("cost_usd", "latency_s", *TOKENS):
        if name in data:
            frame[name] = amounts(columns, name)
    frame |= {name: texts(columns, name) for name in TEXT if name in data}
    return pd.DataFrame({k: _series(v) for k, v in frame.items()})


def _series(values: Any) -> Any:
    return pd.Series(pd.arrays.ArrowStringArray(pa.chunked_array([values]))) if isinstance(values, pa.Array) else values


def _category(array: pa.Array) -> pd.Categorical:
    """Categories in order of appearance; null stays missing."""
    encoded = pc.dictionary_encode(array)
    codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    return pd.Categorical.from_codes(codes, encoded.dictionary.to_pylist())


def _check_graded(columns: Columns, frame: dict[str, Any]) -> None:
    """Require a status or outcome that explains each null verdict."""
    excused = np.zeros(len(columns), bool)
    if "status" in frame:
        excused = np.isin(np.asarray(frame["status"].astype(object)), [s.value for s in UNGRADED])
    if "outcome" in frame:
        excused |= np.asarray(frame["outcome"].astype(object)) == Outcome.UNREADABLE_GOLD.value
    bad = ~frame["graded"] & ~excused
    if bad.any():
        allowed = ", ".join(UNGRADED)
        raise columns.fail("correct", bad, f"not graded; null is allowed with status {allowed}")


def confidences(columns: Columns, name: str, scale: float = 1.0) -> np.ndarray:
    """Column as float64 [N] in [0, 1], NaN missing: the values divided by `scale`, rounded to DIGITS decimals."""
    values = floats(columns, name, percent=scale != 1)
    bad = (values < 0) | (values > scale)
    if bad.any():
        hint = scale == 1 and PERCENT_HINT <= np.nanmax(values) <= 100 and np.nanmin(values) >= 0
        percent = " (percentages are read with confidence_scale=100)" if hint else ""
        raise columns.fail(name, bad, f"outside [0, {scale:g}]{percent}")
    return np.round(values / scale, DIGITS) + 0.0  # -0.0 becomes 0.0


def amounts(columns: Columns, name: str) -> np.ndarray:
    """Column as finite float64 [N] >= 0, NaN missing."""
    values = floats(columns, name)
    bad = (values < 0) | (values > LARGEST)
    if bad.any():
        most = ", at most 2^53" if np.isfinite(values[bad]).all() and (values[bad] > 0).all() else ""
        raise columns.fail(name, bad, f"allowed is a finite number >= 0{most}")
    return values
