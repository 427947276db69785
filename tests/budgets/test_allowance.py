"""What a budget lets through while its ledger does not answer, as a person writes it."""

from pathlib import Path
from typing import Any

import pytest

from aden import Allowance, Budget, ConfigurationError, Throttle, requests, tokens
from aden.budgets.policy_file import load_policy


@pytest.mark.parametrize(
    ("budget", "closed", "opened"),
    [
        (Budget("b", "20"), 200_000_000, None),
        (Budget("b", limit=tokens(5_000)), 50, None),
        (Budget("b", limit=requests(99)), 0, None),
        (Budget("b", 0), 0, None),
        (Budget("b", "20", beyond="throttle", ladder=[Throttle(90, 10)]), None, None),
        (Budget("b", "20", on_ledger_down="refuse"), 0, 0),
        (Budget("b", "20", on_ledger_down="allow"), None, None),
        (Budget("b", "20", on_ledger_down=Allowance("0.50")), 500_000_000, 500_000_000),
        (Budget("b", limit=tokens(9), on_ledger_down=Allowance(tokens(7))), 7, 7),
    ],
)
def test_the_budgets_word_counts_then_fail_open_then_one_per_cent(
    budget: Budget, closed: int | None, opened: int | None
) -> None:
    """In the budget's own unit; None is without a limit."""
    assert budget.allowed_unasked(fail_open=False) == closed
    assert budget.allowed_unasked(fail_open=True) == opened


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ('"refuse"', "refuse"),
        ('"allow"', "allow"),
        ('{allowance_usd = "0.50"}', Allowance("0.50")),
        ("{allowance_usd = 1.25}", Allowance("1.25")),
    ],
)
def test_a_file_says_the_same(tmp_path: Path, written: str, meant: object) -> None:
    """``on_ledger_down = …``."""
    (budget,) = read(tmp_path, f'limit_usd = "20"\non_ledger_down = {written}').budgets
    assert budget.allowed_unasked(fail_open=False) == Budget(
        "b",
        "20",
        on_ledger_down=meant,  # type: ignore[arg-type]
    ).allowed_unasked(fail_open=False)


def test_a_file_counts_the_allowance_in_the_budgets_unit(tmp_path: Path) -> None:
    """Tokens, requests."""
    text = "limit_tokens = 900\non_ledger_down = {allowance_tokens = 5}"
    (budget,) = read(tmp_path, text).budgets
    assert budget.allowed_unasked(fail_open=False) == 5


@pytest.mark.parametrize(
    ("written", "named"),
    [
        ('"sometimes"', "sometimes"),
        ("5", "5"),
        ("{}", "allowance_usd"),
        ("{allowance = 5}", "allowance_usd"),
        ("{allowance_usd = 5, allowance_tokens = 5}", "one of"),
        ("{allowance_usd = -1}", "-1"),
        ("{allowance_usd = nan}", "nan"),
        ("{allowance_tokens = 5}", "in usd"),
    ],
)
def test_what_is_malformed_is_refused(tmp_path: Path, written: str, named: str) -> None:
    """The message names it and what is allowed."""
    with pytest.raises(ConfigurationError) as caught:
        read(tmp_path, f'limit_usd = "20"\non_ledger_down = {written}')
    assert named in str(caught.value)


def test_an_allowance_in_another_unit_is_refused() -> None:
    """Dollars cannot be counted against tokens."""
    with pytest.raises(ConfigurationError, match="in tokens"):
        Budget("b", limit=tokens(9), on_ledger_down=Allowance("0.50"))


def read(folder: Path, text: str) -> Any:
    """The policy of a file with one budget."""
    path = folder / "budgets.toml"
    path.write_text(f'[[budget]]\nid = "b"\n{text}\n')
    return load_policy(path, "enforce")
