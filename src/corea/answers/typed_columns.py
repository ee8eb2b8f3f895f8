"""The columns of one answers file as typed arrays, with errors that name file, rows and column.

N is the number of rows. Rows are counted from 1, without a CSV file's header; JSONL syntax errors name the line.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corea.errors import UserError
from corea.tabular import Columns

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
