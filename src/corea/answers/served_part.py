"""python -m corea.answers.served_part TAIL PART: writes a tail of a served log as a part, then removes the tail.

A process of its own with a lower priority: building a table takes its interpreter for up to a second, in which the
server could answer nothing, and memory that the server would keep.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pyarrow.parquet as pq

from corea.answers.served_format import part_table, read_lines
from corea.runtime import atomic_write

NICENESS = 5
"""Less than the server gets, and enough to end soon on a busy machine."""


def write_part(tail: Path, part: Path) -> None:
    """Write the requests of `tail` to `part`, and remove `tail`.

    Raises:
        OSError, UserError, pyarrow.ArrowException: the tail stays.
    """
    rows = read_lines(tail)
    if rows:
        with atomic_write(part) as temporary:
            pq.write_table(part_table(rows), temporary, compression="zstd")
    tail.unlink()


if __name__ == "__main__":
    if hasattr(os, "nice"):
        os.nice(NICENESS)
    write_part(Path(sys.argv[1]), Path(sys.argv[2]))
