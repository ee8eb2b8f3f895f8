"""Small data sets in files, and the questions that a configuration takes from them."""

import json
from pathlib import Path

import pandas as pd
import pytest

from corea.config.data_schema import DataConfig, FamilyConfig, SourceConfig
from corea.errors import UserError
from corea.tasks.held_out import family_questions


def write(path: Path, rows: list[dict]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        pd.DataFrame(rows).to_parquet(path)
    elif path.suffix == ".csv":
        pd.DataFrame(rows).to_csv(path, index=False)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def gsm8k_rows(numbers) -> list[dict]:
    return [
        {
            "question": f"Ann has {n} eggs and buys 2.  How many now?",
            "answer": f"{n}+2=<<{n}+2={n + 2}>>{n + 2}\n#### {n + 2}",
        }
        for n in numbers
    ]


def mix(*sources: SourceConfig, **more) -> DataConfig:
    family = FamilyConfig(sources=list(sources), calibration=None, test=None)
    return DataConfig(name="d", train=["f"], families={"f": family}, **more)


def questions(data: DataConfig, split: str, family: str = "f"):
    return family_questions(data, family, split, None)


def fail(data: DataConfig, split: str = "test") -> str:
    with pytest.raises(UserError) as caught:
        questions(data, split)
    assert "\n" not in str(caught.value)
    return str(caught.value)
