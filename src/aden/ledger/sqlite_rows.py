"""Many rows in one statement of a SQLite ledger.

While SQLite takes a step, which is a statement or a row of its answer, Python lets another thread
have the interpreter; where fifty are busy, it comes back after a tenth of a second. So what is
booked together takes as few steps as one booking.
"""

import json
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, TypeVar

from aden.ledger.sqlite_file import Connection

Row = TypeVar("Row")

_PORTIONS = (32, 16, 8, 4, 2, 1)
"""Few lengths, so that SQLite knows each statement by its text; 32 rows have less than the 999
parameters that any SQLite takes."""
_FEW = 4
"""So many rows are read one by one."""


def write_rows(db: Connection, sql: str, rows: Sequence[Sequence[Any]]) -> None:
    """Execute *sql*, in which ``{}`` stands for the rows: ``(?, ?), (?, ?)``."""
    if len(rows) == 1:  # nearly always
        db.execute(_with_marks(sql, 1, len(rows[0])), rows[0])
    elif rows:
        for some in _portions(rows):
            statement = _with_marks(sql, len(some), len(some[0]))
            db.execute(statement, [value for row in some for value in row])


def read_rows(
    db: Connection, sql: str, values: Sequence[Any], columns: str, *, about: int
) -> list[Sequence[Any]]:
    """The *columns* that the query *sql* gives: *about* so many rows, if many all in one step.

    Text may come through JSON, which ends at a NUL.
    """
    if about <= _FEW:
        return db.execute(sql, values).fetchall()
    (found,) = db.execute(
        f"SELECT json_group_array(json_array({columns})) FROM ({sql})",  # noqa: S608 - ours
        values,
    ).fetchone()
    rows: list[Sequence[Any]] = json.loads(found)
    return rows


def _portions(rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
    first = 0
    for size in _PORTIONS:
        while len(rows) - first >= size:
            yield rows[first : first + size]
            first += size


@lru_cache(maxsize=64)
def _with_marks(sql: str, count: int, width: int) -> str:
    row = ", ".join("?" * width)
    return sql.format(", ".join([f"({row})"] * count))
