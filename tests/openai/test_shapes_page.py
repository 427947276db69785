"""The page of the documentation that lists every shape, held against the table."""

from __future__ import annotations

from more_shapes import UNNOTICED
from write_shapes import PAGE, names


def test_the_page_has_every_shape_and_no_other() -> None:
    """``make shapes`` writes it anew."""
    lines = [line.split(" | ") for line in PAGE.read_text(encoding="utf-8").splitlines()]
    listed = [line[0].removeprefix("| ") for line in lines if len(line) > 3]
    wanted = [["shape", "---", *table] for table in names()]
    assert listed == wanted[0] + wanted[1]


def test_no_shape_is_seen_by_the_program_and_none_is_booked_below_its_bill() -> None:
    """But for those whose server may notice late that nobody listens."""
    lines = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if " | " in line]
    assert not [line for line in lines if "NO" in line]
    below = [line.split(" | ")[0].removeprefix("| ") for line in lines if "below" in line]
    assert not set(below) - set(UNNOTICED)
