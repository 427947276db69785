"""Labels in any script stand in columns."""

import io
import time
from pathlib import Path

import pytest
from journals import a_call, write_ledger

from aden.cli import main
from aden.cli.budgets.shapes import narrow_table, table
from aden.cli.budgets.state import Standing
from aden.cli.cells import cell, cut
from aden.cli.spend.live import live
from aden.core.money import NANO
from aden.ledger import Balance, open_ledger

LABELS = ("acme", "東京電力", "e\u0301cole", "한국전력공사", "顧客" * 40)
SCRIPTS = dict.fromkeys("東京電力顧客한국전력공사", 2) | {"\u0301": 0}
"""The columns of the characters of these labels that do not take one."""


def columns(text: str) -> int:
    """How wide a terminal shows a text of this file."""
    return sum(SCRIPTS.get(char, 1) for char in text)


@pytest.mark.parametrize("most", [1, 2, 9, 10, 30])
@pytest.mark.parametrize("label", LABELS)
def test_a_cell_is_as_wide_as_its_column(label: str, most: int) -> None:
    """Also where half an ideograph would have room left."""
    assert columns(cell(label, most)) == most
    assert columns(cut(label, most)) <= most


def test_a_cut_label_keeps_its_accents() -> None:
    """A mark stands behind the letter that it belongs to."""
    assert cut("ae\u0301iou", 3) == "ae\u0301…"


def test_spend_by_customers_of_all_countries_is_a_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every line of it is as long as its head."""
    now = time.time() - 5
    url = write_ledger(tmp_path / "ledger.db", [a_call(now, customer=label) for label in LABELS])
    assert main(["spend", "--ledger", url, "--by", "customer"]) == 0
    head, rule, *rows = capsys.readouterr().out.splitlines()
    found = rows[: len(LABELS)]
    assert {columns(line) for line in (head, rule, *found)} == {len(rule)}


def test_the_pace_of_models_of_all_countries_is_a_column(tmp_path: Path) -> None:
    """Below the budgets of the live view."""
    now = time.time() - 5
    url = write_ledger(tmp_path / "ledger.db", [a_call(now, label) for label in LABELS])
    ledger = open_ledger(url)
    live(ledger, picture := io.StringIO(), 1)
    ledger.close()
    costs = [line for line in picture.getvalue().splitlines() if line.endswith(" $0.010000")]
    assert len(costs) == len(LABELS)
    assert len({columns(line) for line in costs}) == 1


@pytest.mark.parametrize("room", [40, 80, 300])
def test_bars_of_budgets_of_all_countries_begin_in_one_column(room: int) -> None:
    """And no line is wider than its terminal."""
    found = [
        Standing(f"each|customer={label}", Balance(label, "total", NANO), None, True)
        for label in LABELS[:-1]
    ]
    for shown in (table(found), narrow_table(found, room)):
        lines = shown.splitlines()
        assert len({columns(line) for line in lines}) == 1
    assert columns(lines[0]) <= room
