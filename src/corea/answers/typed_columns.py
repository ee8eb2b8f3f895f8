"""The columns of one answers file as typed arrays, with errors that name file, rows and column.

N is the number of rows. Rows are counted from 1, without a CSV file's header; JSONL syntax errors name the line.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from corea.errors import UserError
from corea.tabular import Columns
from corea.types import RETRIES, Status

TEXT = ("text", "answer", "question", "gold")
"""Columns that only an audit reads."""
TOKENS = ("prompt_tokens", "cached_tokens", "completion_tokens", *RETRIES)
UNGRADED = (Status.ERROR, Status.TRUNCATED, Status.UNPARSED_ANSWER)
"""Statuses with which a null verdict counts as wrong."""
DIGITS = 12
"""Decimals of a confidence that are kept, so that a 0.7 that came out of some JSON reader or sum as 0.7000000000000001
is the 0.7 that was stated."""
ONE_DATASET = "all"
"""Name of the dataset where the table has no such column."""
TRUTH = {"true": 1, "false": 0, "1": 1, "0": 0, "1.0": 1, "0.0": 0}


def floats(columns: Columns, name: str) -> np.ndarray:
    """Column as float64 [N]; null becomes NaN. A NaN that is not null, or text that is no number, is an error."""
    array = _plain(columns.data[name])
    null = np.asarray(array.is_null())
    if pa.types.is_string(array.type) or pa.types.is_large_string(array.type):
        values = _from_text(columns, name, array)
    elif pa.types.is_null(array.type):
        return np.full(len(array), np.nan)
    elif pa.types.is_floating(array.type) or pa.types.is_integer(array.type) or pa.types.is_decimal(array.type):
        values = _widened(array)
    else:
        raise UserError(f"{columns.where(name)}: holds {array.type}; allowed are numbers")
    nan = np.isnan(values) & ~null
    if nan.any():
        raise columns.fail(name, nan, "NaN is not a number; a missing value is null")
    return values


def _plain(array: pa.Array) -> pa.Array:
    return array.dictionary_decode() if pa.types.is_dictionary(array.type) else array


def _widened(array: pa.Array) -> np.ndarray:
    """Numbers as float64. Short floats go through their shortest decimal form, so that a float32 0.7 is 0.7."""
    if pa.types.is_float32(array.type) or pa.types.is_float16(array.type):
        short = array.to_numpy(zero_copy_only=False)
        distinct, inverse = np.unique(short, return_inverse=True)
        return np.array([float(str(v)) for v in distinct])[inverse]
    return pc.cast(array, pa.float64(), safe=False).to_numpy(zero_copy_only=False)


def _from_text(columns: Columns, name: str, array: pa.Array) -> np.ndarray:
    def number(text: str | None) -> float | None:
        if text is None:
            return np.nan
        try:
            return float(text)
        except ValueError:
            return None

    parsed = [number(v) for v in array.to_pylist()]
    bad = np.array([v is None for v in parsed])
    if bad.any():
        raise columns.fail(name, bad, "not a number")
    return np.array(parsed, dtype=np.float64)


def integers(columns: Columns, name: str, low: int = 0, missing: int | None = None) -> np.ndarray:
    """Column as int64 [N], each >= `low`; fractions and text are errors, and so is null unless it means `missing`."""
    values = floats(columns, name)
    if missing is not None:
        values = np.where(np.isnan(values), missing, values)
    bad = np.isnan(values) | (values < low) | (values != np.floor(values))
    if bad.any():
        raise columns.fail(name, bad, f"allowed is a whole number >= {low}")
    return values.astype(np.int64)


def verdicts(columns: Columns, name: str) -> np.ndarray:
    """Column as float64 [N]: 1 right, 0 wrong, NaN not graded (null). Booleans, 0/1 and true/false are allowed."""
    array = _plain(columns.data[name])
    null = np.asarray(array.is_null())
    if pa.types.is_boolean(array.type):
        values = pc.cast(array, pa.int8()).cast(pa.float64()).to_numpy(zero_copy_only=False)
    elif pa.types.is_string(array.type) or pa.types.is_large_string(array.type):
        values = np.array([TRUTH.get((v or "").strip().lower(), np.nan) for v in array.to_pylist()], dtype=np.float64)
    else:
        values = floats(columns, name)
    bad = ~null & (values != 0) & (values != 1)
    if bad.any():
        raise columns.fail(name, bad, "allowed is true, false, 1, 0 or null")
    return values


def texts(columns: Columns, name: str, required: bool = False) -> pa.Array:
    """Column as Arrow strings [N]; numbers are written out. Null is an error where `required`."""
    array = _plain(columns.data[name])
    if pa.types.is_floating(array.type):
        values = array.to_pylist()
        values = [None if v is None or v != v else v for v in values]
        array = pa.array([None if v is None else str(int(v)) if v % 1 == 0 else str(v) for v in values], pa.string())
    elif not pa.types.is_string(array.type):
        array = array.cast(pa.string())
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


def typed_frame(columns: Columns) -> pd.DataFrame:
    """The columns of an answers table, each checked on its own; rows in the order of the file."""
    data, rows = columns.data, len(columns)
    frame: dict[str, Any] = {"question_id": texts(columns, "question_id", required=True)}
    frame["tier"] = integers(columns, "tier")
    frame["sample"] = integers(columns, "sample", missing=0) if "sample" in data else np.zeros(rows, np.int64)
    for name in ("dataset", "split", "model"):
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
            frame[name] = confidences(columns, name)
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
    """A null verdict needs a status that says why."""
    excused = np.zeros(len(columns), bool)
    if "status" in frame:
        excused = np.isin(np.asarray(frame["status"].astype(object)), [s.value for s in UNGRADED])
    bad = ~frame["graded"] & ~excused
    if bad.any():
        allowed = ", ".join(UNGRADED)
        raise columns.fail("correct", bad, f"not graded; null is allowed with status {allowed}")


def confidences(columns: Columns, name: str) -> np.ndarray:
    """Column as float64 [N] in [0, 1], NaN missing, rounded to DIGITS decimals."""
    values = floats(columns, name)
    bad = (values < 0) | (values > 1)
    if bad.any():
        raise columns.fail(name, bad, "outside [0, 1]")
    return np.round(values, DIGITS) + 0.0  # -0.0 becomes 0.0


def amounts(columns: Columns, name: str) -> np.ndarray:
    """Column as finite float64 [N] >= 0, NaN missing."""
    values = floats(columns, name)
    bad = (values < 0) | np.isinf(values)
    if bad.any():
        raise columns.fail(name, bad, "allowed is a finite number >= 0")
    return values
