"""docs/telemetry.md has every word that attributes take."""

import re
from pathlib import Path
from typing import get_args

import pytest

import aden
from aden.core.decision import Action, Reason, Source

DOCS = Path(__file__).parents[2] / "docs" / "telemetry.md"
SOURCE = "\n".join(path.read_text() for path in Path(aden.__file__).parent.rglob("*.py"))
LEGS = set(re.findall(r'\b(?:cannot|failed)\(\s*"([a-z_]+)"', SOURCE))


def row(attribute: str) -> set[str]:
    """The words of a row of a table."""
    (line,) = (
        line for line in DOCS.read_text().splitlines() if line.startswith(f"| `{attribute}`")
    )
    return set(re.findall(r"[a-z_]+", line))


@pytest.mark.parametrize(
    ("attribute", "words"),
    [
        ("aden.decision.action", set(get_args(Action))),
        ("aden.decision.reason", {*get_args(Reason), *get_args(Source)}),
        ("aden.gate.failures", LEGS),
    ],
)
def test_every_value_stands_in_the_table(attribute: str, words: set[str]) -> None:
    """Who makes an alert of one has to know them all."""
    assert words - row(attribute) == set()


def test_the_legs_are_found_in_the_source() -> None:
    """Else the test above would have nothing to compare."""
    assert {"hook", "ledger", "gate", "refusal", "endpoint"} <= LEGS
