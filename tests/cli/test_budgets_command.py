"""`aden budgets`: how budgets stand, and what operators order."""

import fcntl
import io
import json
import os
import pty
import struct
import termios
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from journals import a_call

from aden.budgets.budget import Budget
from aden.budgets.note import Note, make_known, note_of
from aden.budgets.scope import ANY
from aden.cli import main
from aden.cli.spend.live import HOUR_S, LastHour, LiveView, live
from aden.core.limit import tokens
from aden.core.money import NANO
from aden.core.record import CallRecord
from aden.ledger import Ask, Charge, Grant, Line, Option, Settlement
from aden.ledger.operator import Account, Freeze
from aden.ledger.sqlite import SqliteLedger
from aden.testing.clock import FixedClock

CALLS = Budget("calls", "10", name="Phone calls")
TOKENS = Budget("tokens", limit=tokens(1000), window="rolling 1h")
OLD = Budget("monthly", "5", window="month")
HOURLY = Budget("hourly", "5", window="hour")


def spend(
    ledger: SqliteLedger,
    budget: Budget,
    amount: int,
    *,
    settle: bool = True,
    at_risk: int | None = None,
) -> str:
    """One call of a budget; gives its operation."""
    operation = f"call-{next(_numbers)}"
    risked = amount if at_risk is None else at_risk
    line = Line(budget.id, budget.span, budget.limit.amount, amount, risked)
    grant = ledger.reserve(Ask(operation, (Option((line,)),)))
    assert isinstance(grant, Grant)
    if settle:
        window = grant.holds[0].window_id
        ledger.settle(Settlement(operation, (Charge(budget.id, window, amount),)))
    return operation


_numbers = iter(range(10**9))


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SqliteLedger]:
    """The ledger that the commands find."""
    path = tmp_path / "ledger.db"
    monkeypatch.setenv("ADEN_LEDGER", f"sqlite://{path}")
    monkeypatch.delenv("ADEN_BUDGETS", raising=False)
    opened = SqliteLedger(path)
    opened.describe({each.id: note_of(each).to_json() for each in (CALLS, TOKENS, OLD)})
    yield opened
    opened.close()


def shown(*words: str) -> list[dict[str, object]]:
    """What a command prints as JSON."""
    out = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdout", out)
        assert main(["budgets", *words, "--json"]) == 0
    found: list[dict[str, object]] = json.loads(out.getvalue())
    return found


def test_a_broken_file_of_budgets_hides_no_budget(
    ledger: SqliteLedger,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Programs go on with the last good one; who is to mend it sees, and orders, what they have."""
    spend(ledger, CALLS, 4 * NANO)
    path = tmp_path / "budgets.toml"
    path.write_text("[[budget]")
    monkeypatch.setenv("ADEN_BUDGETS", str(path))
    assert main(["budgets"]) == 0
    said = capsys.readouterr()
    assert "$4.000000 of $10.000000" in said.out
    assert said.err.count(f"ADEN_BUDGETS='{path}' is not valid") == 1
    assert main(["budgets", "freeze", "calls", "--why", "broken"]) == 0
    assert "FROZEN" in capsys.readouterr().out


def test_budgets_stand_in_their_own_units(
    ledger: SqliteLedger, capsys: pytest.CaptureFixture[str]
) -> None:
    """Spent, held and described-only budgets; money as money, tokens as tokens."""
    spend(ledger, CALLS, 4 * NANO)
    spend(ledger, CALLS, 1 * NANO, settle=False)
    spend(ledger, TOKENS, 250)

    assert main(["budgets"]) == 0
    calls, monthly, counted = capsys.readouterr().out.splitlines()
    assert "40.0 %  $4.000000 of $10.000000  held $1.000000" in calls
    assert "█████████▒▒▒············" in calls
    assert monthly.startswith("monthly")
    assert "$0.000000 of $5.000000" in monthly
    assert "25.0 %  250 tokens of 1000 tokens" in counted


def test_windows_that_are_over_are_shown_on_demand(tmp_path: Path) -> None:
    """A month of long ago is past; the present one is empty."""
    path = tmp_path / "ledger.db"
    old = SqliteLedger(path, FixedClock(1_700_000_000))
    old.describe({OLD.id: note_of(OLD).to_json()})
    spend(old, OLD, NANO)
    old.close()
    url = f"sqlite://{path}"

    (now,) = shown("show", "--ledger", url)
    assert (now["current"], now["spent"]) == (True, 0.0)
    assert {row["window"] for row in shown("show", "--all", "--ledger", url)} > {now["window"]}


def test_an_hour_is_shown_by_its_beginning(
    ledger: SqliteLedger, capsys: pytest.CaptureFixture[str]
) -> None:
    """And not as the number of seconds that names it."""
    before = datetime.now(UTC)
    spend(ledger, HOURLY, NANO)
    hours = [f"hour {at:%m-%d %H:00Z}" for at in (before, datetime.now(UTC))]

    assert main(["budgets", "--all"]) == 0
    printed = capsys.readouterr().out
    assert any(hour in printed for hour in hours)


def test_a_mode_of_everything_is_shown_at_each_budget(
    ledger: SqliteLedger,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Who sees a full budget and requests that go on is told why."""

    def marked() -> str:
        assert main(["budgets"]) == 0
        (line,) = (line for line in capsys.readouterr().out.splitlines() if "calls" in line)
        return line.rpartition("$10.000000")[2].strip()

    make_known(ledger, [CALLS], mode="observe")
    assert marked() == "observe"
    path = tmp_path / "budgets.toml"
    monkeypatch.setenv("ADEN_BUDGETS", str(path))
    for mode, budgets_own, shown_as in (
        ("off", "observe", "off"),
        ("observe", "off", "off"),
        ("enforce", "observe", "observe"),
        ("enforce", "enforce", ""),
    ):
        budget = f'[[budget]]\nid = "calls"\nlimit_usd = 10\nmode = "{budgets_own}"\n'
        path.write_text(f'mode = "{mode}"\n{budget}')
        assert marked() == shown_as
    path.write_text(budget)
    monkeypatch.setenv("ADEN_MODE", "observe")
    assert marked() == "observe"


def test_a_budget_that_is_gone_is_shown_while_its_window_lasts(
    ledger: SqliteLedger, capsys: pytest.CaptureFixture[str]
) -> None:
    """A total has no end of its own, and an unused one is nothing to see."""
    source = "host:/budgets.toml"
    unused = Budget("unused", "1", window="day")
    make_known(ledger, [CALLS, TOKENS, OLD, unused], source)
    for budget in (CALLS, TOKENS, OLD):
        spend(ledger, budget, 900)
    make_known(ledger, [TOKENS], source)

    assert main(["budgets"]) == 0
    monthly, counted = capsys.readouterr().out.splitlines()
    assert monthly.startswith("monthly")
    assert monthly.endswith("$0.000001 of $5.000000  no longer defined")
    assert "defined" not in counted
    rows = {row["budget"]: row for row in shown("show", "--all")}
    assert {key: (row["defined"], row["current"]) for key, row in rows.items()} == {
        "calls": (False, False),
        "monthly": (False, True),
        "tokens": (True, True),
    }


def test_a_ledger_that_is_named_before_the_verb_is_the_one_that_is_ordered(
    ledger: SqliteLedger, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The environment's own is left alone, whether the named one is there or not."""
    spend(ledger, CALLS, NANO)
    nowhere = f"sqlite://{tmp_path}/other.db"
    assert main(["budgets", "--ledger", nowhere, "freeze", "calls", "--why", "t"]) == 2
    assert f"--ledger='{nowhere}' is not valid" in capsys.readouterr().err
    assert not list(ledger.audit())
    assert main(["budgets", "--json", "--all", "show"]) == 0
    assert json.loads(capsys.readouterr().out)


def test_an_operator_raises_and_takes_it_back(ledger: SqliteLedger) -> None:
    """In the budget's own unit; every process bears it from its next request on."""
    spend(ledger, TOKENS, 900)
    (row,) = shown("raise", "tokens", "--to", "2000", "--why", "launch")
    assert (row["limit"], row["percent_used"], row["raised"]) == (2000, 45.0, True)
    spend(ledger, TOKENS, 900)
    (row,) = shown("raise", "tokens", "--to", "policy", "--why", "over")
    assert (row["limit"], row["raised"]) == (1000, False)


def test_an_operator_freezes_and_resets(ledger: SqliteLedger) -> None:
    """Freezing stops what costs; a reset empties the present window."""
    spend(ledger, CALLS, 3 * NANO)
    (row,) = shown("freeze", "calls", "--why", "incident")
    assert row["frozen"]
    (row,) = shown("unfreeze", "calls", "--why", "mended")
    assert not row["frozen"]
    (row,) = shown("reset", "calls", "--why", "test calls")
    assert row["spent"] == 0.0


@pytest.mark.parametrize("words", [(), ("--window", "rolling:3600")])
def test_an_operator_resets_a_rolling_window(ledger: SqliteLedger, words: tuple[str, ...]) -> None:
    """All of it, by the name that it is shown under."""
    spend(ledger, TOKENS, 300)
    (row,) = shown("reset", "tokens", "--why", "test calls", *words)
    assert row["spent"] == 0


def test_the_verb_show_may_be_left_out(ledger: SqliteLedger) -> None:
    """With its options, before a verb or behind it."""
    spend(ledger, CALLS, NANO)
    assert shown() == shown("show")
    assert shown("--all") == shown("show", "--all")
    assert shown("--ledger", ledger.url, "show") == shown("--ledger", ledger.url)


@pytest.mark.parametrize(
    ("words", "allowed"),
    [
        (("freeze", "each"), "each|customer=…"),
        (("freeze", "each|tenant=acme"), "each|customer=…"),
        (("freeze", "each|customer=*"), "each|customer=…"),  # it would be a customer of that name
        (("freeze", "each|customer="), "each|customer=…"),
        (("freeze", "calls|customer=acme"), "calls, without a label"),
        (("raise", "calls", "--to", "10"), "more than its $10.000000"),
        (("raise", "calls", "--to", "0.5"), "more than its $10.000000"),
        (("reset", "calls", "--window", "month:2026-11-01"), "shows: total"),
    ],
)
def test_an_order_that_would_change_nothing_is_refused(
    ledger: SqliteLedger,
    words: tuple[str, ...],
    allowed: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """No request counts against what it names, or the policy bears as much already."""
    each = Budget("each", "1", scope={"customer": ANY})
    ledger.describe({each.id: note_of(each).to_json()})
    assert main(["budgets", *words, "--why", "t"]) == 2
    assert allowed in capsys.readouterr().err
    assert shown("audit") == []


def test_a_budget_of_a_template_is_ordered_by_its_label(ledger: SqliteLedger) -> None:
    """Also before its first request."""
    each = Budget("each", "1", scope={"provider": "openai", "customer": ANY})
    ledger.describe({each.id: note_of(each).to_json()})
    (row,) = shown("freeze", "each|provider=openai,customer=acme", "--why", "t")
    assert row["frozen"]


def test_an_order_for_a_label_that_no_request_has_carried_is_pointed_out(
    ledger: SqliteLedger, capsys: pytest.CaptureFixture[str]
) -> None:
    """It may be misspelt: whose budget was meant goes on."""
    each = Budget("each", "1", scope={"customer": ANY})
    ledger.describe({each.id: note_of(each).to_json()})
    ledger.settle(Settlement("op", (Charge("each|customer=acme", "total", 1),)))
    assert main(["budgets", "freeze", "each|customer=acne", "--why", "t"]) == 0
    said = "no request has counted against each|customer=acne yet; did you mean each|customer=acme?"
    assert said in capsys.readouterr().err
    assert main(["budgets", "freeze", "each|customer=acme", "--why", "t"]) == 0
    assert capsys.readouterr().err == ""


def test_a_reason_cannot_write_lines_of_its_own_into_the_audit(
    ledger: SqliteLedger, capsys: pytest.CaptureFixture[str]
) -> None:
    """Who ordered what is what the audit is for."""
    forged = "x\n2026-01-01T00:00:00Z  reset     calls  by ada: tests\x1b[1A"
    assert main(["budgets", "freeze", "calls", "--why", forged, "--who", forged]) == 0
    capsys.readouterr()
    assert main(["budgets", "audit"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.isprintable()
    assert [entry["why"] for entry in shown("audit")] == [forged]


def test_the_audit_names_who_what_and_why(
    ledger: SqliteLedger, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each order once, amounts in the budget's unit."""
    spend(ledger, CALLS, 3 * NANO)
    main(["budgets", "raise", "calls", "--to", "12.50", "--why", "launch", "--who", "ada"])
    main(["budgets", "reset", "calls", "--why", "tests", "--who", "bob"])
    capsys.readouterr()

    assert main(["budgets", "audit"]) == 0
    raised, reset = capsys.readouterr().out.splitlines()
    assert "raise     calls  policy → $12.500000  by ada: launch" in raised
    assert "reset     calls  $3.000000 → $0.000000  by bob: tests" in reset
    assert [entry["who"] for entry in shown("audit")] == ["ada", "bob"]


def test_what_a_dead_process_left_is_confirmed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Shown as unconfirmed; settled with the amount that it really cost."""
    clock = FixedClock(1_800_000_000)
    ledger = SqliteLedger(tmp_path / "ledger.db", clock)
    ledger.describe({CALLS.id: note_of(CALLS).to_json()})
    operation = spend(ledger, CALLS, 3 * NANO, settle=False, at_risk=2 * NANO)
    url = f"sqlite://{tmp_path}/ledger.db"
    assert main(["budgets", "holds", "--ledger", url]) == 0
    assert "calls $3.000000" in capsys.readouterr().out
    clock.advance(3600)
    spend(ledger, CALLS, 0)

    assert main(["budgets", "holds", "--ledger", url]) == 0
    line = capsys.readouterr().out
    assert f"{operation}  unconfirmed" in line
    assert "calls $2.000000" in line  # what was booked, not what was held
    assert main(["spend", "--ledger", url]) == 0
    assert "unconfirmed  $2.000000" in capsys.readouterr().out
    order = ["confirm", operation, "--amount", "calls=1.25", "--why", "invoice", "--ledger", url]
    assert main(["budgets", *order]) == 0
    assert "confirm   calls  $2.000000 → $1.250000  by " in capsys.readouterr().out
    (row,) = shown("show", "--ledger", url)
    assert (row["settled"], row["unconfirmed"]) == (1.25, 0.0)
    assert main(["budgets", *order]) == 1  # there is nothing left to confirm
    said = capsys.readouterr().out
    assert f"there is nothing to confirm of {operation}" in said
    assert main(["spend", "--ledger", url]) == 0
    told = capsys.readouterr().out
    assert "unconfirmed  $0.000000 of processes that died" in told
    assert "confirmed    $1.250000 of processes that died, besides" in told
    ledger.close()


def test_an_operator_without_a_name_signs_with_the_number(
    ledger: SqliteLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the user of a container that no list of users has."""
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 54_321)
    assert main(["budgets", "freeze", "calls", "--why", "an incident"]) == 0
    assert [entry.who for entry in ledger.audit()] == ["uid 54321"]


@pytest.mark.parametrize("amounts", [["call=1.25"], ["calls=1.25", "calls=1"]])
def test_an_amount_of_a_budget_that_the_call_does_not_count_against_confirms_nothing(
    amounts: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is confirmed cannot be corrected any more, so a slip of the pen is told before."""
    clock = FixedClock(1_800_000_000)
    ledger = SqliteLedger(tmp_path / "ledger.db", clock)
    ledger.describe({CALLS.id: note_of(CALLS).to_json()})
    operation = spend(ledger, CALLS, 2 * NANO, settle=False)
    clock.advance(3600)
    words = [word for amount in amounts for word in ("--amount", amount)]
    url = f"sqlite://{tmp_path}/ledger.db"
    assert main(["budgets", "confirm", operation, *words, "--why", "x", "--ledger", url]) == 2
    assert "a budget that it counts against, once: calls" in capsys.readouterr().err
    (held,) = ledger.holds()
    assert held.state == "unconfirmed"
    ledger.close()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["freeze", "call", "--why", "x"], "did you mean calls?"),
        (["raise", "tokens", "--to", "1.5", "--why", "x"], "a whole number of tokens"),
        (["raise", "calls", "--to", "-1", "--why", "x"], "an amount in US dollars"),
        (["reset", "calls", "--why", " "], "a text that is not empty"),
        (["confirm", "op", "--amount", "5", "--why", "x"], "BUDGET=AMOUNT"),
    ],
)
def test_a_wrong_order_is_told_and_changes_nothing(
    ledger: SqliteLedger, words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2."""
    spend(ledger, CALLS, NANO)
    assert main(["budgets", *words]) == 2
    assert told in capsys.readouterr().err
    assert list(ledger.audit()) == []


def test_the_live_view_draws_budgets_and_the_pace(ledger: SqliteLedger) -> None:
    """The fullest first; without a terminal the frames follow each other."""
    spend(ledger, CALLS, 1 * NANO)
    spend(ledger, TOKENS, 999)
    out = io.StringIO()
    live(ledger, out, frames=1)
    lines = out.getvalue().splitlines()
    assert lines[0].startswith("tokens")
    assert lines[1].startswith("calls")
    assert "last hour  $0.000000  (0 calls)" in out.getvalue()


def test_a_key_is_shown_whole_since_an_order_names_it(
    ledger: SqliteLedger, capsys: pytest.CaptureFixture[str]
) -> None:
    """A customer may well be a UUID, or longer than any column."""
    keys = [f"each|customer={'9b2e4c61-' * parts}1" for parts in (4, 20)]
    for key in keys:
        ledger.settle(Settlement(key, (Charge(key, "total", 1),)))
    assert main(["budgets"]) == 0
    shown_first = {line.split()[0] for line in capsys.readouterr().out.splitlines()}
    assert shown_first.issuperset(keys)


@pytest.mark.parametrize(("rows", "columns"), [(24, 80), (10, 40), (60, 200)])
def test_a_live_frame_fits_its_terminal(ledger: SqliteLedger, rows: int, columns: int) -> None:
    """The fullest budgets come first, so they must not have scrolled away."""
    for number in range(50):
        key = f"each|customer={number:04d}{'0' * 36}{number:04d}"
        ledger.settle(Settlement(key, (Charge(key, "total", 1),)))
    ledger.order(Freeze(CALLS.id, who="me", why="enough"))
    spend(ledger, TOKENS, 999)
    ours, theirs = pty.openpty()
    with open(ours, "rb", buffering=0) as screen, open(theirs, "w") as out:
        fcntl.ioctl(out, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        live(ledger, out, frames=1)
        written = b""
        while b"last hour" not in written:
            written += screen.read(65_536)
    lines = written.decode().removeprefix("\x1b[H\x1b[2J").splitlines()
    assert len(lines) < rows
    assert max(map(len, lines)) <= columns
    assert lines[0].startswith("tokens")
    assert any(line.startswith("… and ") for line in lines)
    assert columns < 80 or any("calls" in line and "FROZEN" in line for line in lines)


def test_a_live_frame_reads_what_is_new(
    ledger: SqliteLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not every window of the last months, nor the hour's journal, once a second."""
    all_read: list[float] = []
    read_back_s: list[float] = []
    accounts, journal = ledger.accounts, ledger.journal

    def noted_accounts() -> tuple[Account, ...]:
        all_read.append(time.time())
        return accounts()

    def noted_journal(since: float = 0.0) -> Iterator[CallRecord]:
        read_back_s.append(time.time() - since)
        return journal(since)

    monkeypatch.setattr(ledger, "accounts", noted_accounts)
    monkeypatch.setattr(ledger, "journal", noted_journal)
    view = LiveView(ledger)
    for seen in (1, 2):
        spend(ledger, CALLS, 2 * NANO)
        spend(ledger, TOKENS, 250)
        record = a_call(time.time(), usd=0.25)
        ledger.settle(Settlement(record.id, record=record))
        shown = view.frame()
        assert f"{seen * 25}.0 %  {seen * 250} tokens" in shown
        assert f"{seen * 20}.0 %  ${seen * 2}.000000" in shown
        assert f"last hour  ${seen * 0.25:.6f}  ({seen} calls)" in shown
    assert len(all_read) == 1
    first, second = read_back_s
    assert second < HOUR_S / 2 < HOUR_S < first


def test_what_is_older_than_an_hour_is_let_go(ledger: SqliteLedger) -> None:
    """The pace is that of the last hour, however long somebody looks."""
    now = time.time()
    for ago_s in (4_000, 1_800, 30):
        record = a_call(now - ago_s, usd=1)
        ledger.settle(Settlement(record.id, record=record))
    refused = a_call(now - 20, refused=True)
    ledger.settle(Settlement(refused.id, record=refused))
    hour = LastHour(ledger)
    assert hour.look(now) == (2, {"gpt-4o": 2 * NANO})
    assert hour.look(now + 1_900) == (1, {"gpt-4o": NANO})
    assert hour.look(now + 3_900) == (0, {})


def test_a_note_of_another_version_is_left_out() -> None:
    """Whatever stands there."""
    assert Note.from_json(note_of(TOKENS).to_json()) == note_of(TOKENS)
    for line in ("", "{}", "[]", '{"limit":1}', note_of(TOKENS).to_json().replace("rolling", "x")):
        assert Note.from_json(line) is None
