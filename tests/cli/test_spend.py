"""`aden spend`: the journal added up, in each shape."""

import csv
import io
import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import IO
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from journals import a_call, at, write_ledger

import aden
from aden.cli import main
from aden.cli.period import moment
from aden.cli.spend.live import live
from aden.cli.spend.report import DIMENSIONS, report
from aden.cli.spend.shapes import FOCUS_COLUMNS, harmless, write_focus
from aden.core.attribution import Attribution
from aden.core.money import NANO
from aden.core.usage import Usage
from aden.errors import ConfigurationError
from aden.ledger import open_ledger

UTC = ZoneInfo("UTC")
NOON = at("2026-11-20T12:00:00")


def test_calls_are_added_up_by_what_is_asked_and_the_dearest_comes_first() -> None:
    """Tokens, cost, refusals, and the share that is estimated or had no price."""
    records = [
        a_call(NOON, "gpt-4o-mini", 0.001),
        a_call(NOON, "gpt-4o", 0.01, (100, 10), estimated=True),
        a_call(NOON, "gpt-4o", 0.02, (200, 20), price_source="floor"),
        a_call(NOON, "gpt-4o", refused=True),
    ]
    made = report(records, "model", NOON - 10, NOON + 10, UTC)

    assert [key for key, _ in made.rows()] == ["gpt-4o", "gpt-4o-mini"]
    dear = made.groups["gpt-4o"]
    assert (dear.calls, dear.refused, dear.input_tokens, dear.output_tokens) == (3, 1, 300, 30)
    assert (dear.cost, dear.estimated, dear.unpriced) == (
        NANO * 3 // 100,
        NANO // 100,
        NANO * 2 // 100,
    )
    assert made.total.cost == NANO * 31 // 1000


def test_a_day_is_that_of_the_time_zone() -> None:
    """Half past eleven at night in UTC is the next day in Berlin."""
    record = a_call(at("2026-11-20T23:30:00"))
    for zone, day in ((UTC, "2026-11-20"), (ZoneInfo("Europe/Berlin"), "2026-11-21")):
        made = report([record], "day", record.at - 1, record.at + 1, zone)
        assert list(made.groups) == [day]


def test_pace_and_projection_reach_back_further_than_the_period() -> None:
    """The last hour, the last day, the month so far, and the month at the last day's rate."""
    until = at("2026-11-21T00:00:00")
    records = [
        a_call(at("2026-10-31T23:59:59"), usd=1000),  # last month
        a_call(at("2026-11-02T00:00:00"), usd=5),
        a_call(until - 7200, usd=2),
        a_call(until - 60, usd=1),
        a_call(until + 60, usd=1000),  # in the future
    ]
    made = report(records, "model", until - 600, until, UTC)

    assert made.total.cost == 1 * NANO
    assert (made.last_hour, made.last_day, made.month) == (1 * NANO, 3 * NANO, 8 * NANO)
    assert made.projected_month == (8 + 3 * 10) * NANO  # ten days of November are left


@given(st.lists(st.tuples(st.integers(0, 10**6), st.sampled_from("abc"), st.floats(0, 9))))
def test_groups_add_up_to_the_total_in_each_dimension(
    calls: list[tuple[int, str, float]],
) -> None:
    """Nothing is lost between them."""
    records = [a_call(NOON + second, model, usd) for second, model, usd in calls]
    for by in DIMENSIONS:
        made = report(records, by, NOON, NOON + 10**6, UTC)
        assert sum(group.cost for group in made.groups.values()) == made.total.cost
        assert sum(group.calls for group in made.groups.values()) == made.total.calls
    assert made.total.cost <= sum(record.cost for record in records)


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A ledger with two calls of today, one that was refused, and an old one."""
    now = time.time() - 5
    records = [
        a_call(now, "gpt-4o", 0.5, customer="acme"),
        a_call(now, "gpt-4o", refused=True, customer="acme"),
        a_call(now, "gpt-4o-mini", 0.25, customer="=cmd()"),
        a_call(now - 40 * 86_400, "gpt-4o", 9.0),
    ]
    return write_ledger(tmp_path / "ledger.db", records)


def test_the_table_is_what_a_person_asks_for(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Thirty days by model, without being told."""
    assert main(["spend", "--ledger", url]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[0][:3] == ["model", "calls", "refused"]
    assert ["gpt-4o", "1", "1", "100", "10", "$0.500000"] in lines
    assert ["total", "2", "1", "200", "20", "$0.750000"] in lines
    assert ["last", "hour", "$0.750000"] in lines


def test_a_label_cannot_write_lines_of_its_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It comes from a request's metadata, so from anybody."""
    forged = a_call(time.time() - 5, customer="a\ntotal\x1b[2J")
    url = write_ledger(tmp_path / "ledger.db", [forged])
    assert main(["spend", "--ledger", url, "--by", "customer"]) == 0
    out = capsys.readouterr().out
    assert "a\ufffdtotal\ufffd[2J " in out
    assert "\x1b" not in out


@pytest.mark.parametrize("shape", ["--by=model", "--json", "--focus"])
def test_a_full_journal_says_where_its_figures_begin(
    shape: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Thirty days are asked for, and what was pushed out of them would be missed by nobody."""
    now = time.time()
    url = write_ledger(tmp_path / "ledger.db", [a_call(now - 60 * age) for age in (3, 2, 1)])
    for bound, told in ((3, True), (4, False)):
        assert main(["spend", "--ledger", f"{url}?journal={bound}", shape]) == 0
        out, err = capsys.readouterr()
        said = out if shape == "--by=model" else err
        begins = datetime.fromtimestamp(now - 180, tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        assert (f"its 3 calls begin at {begins}" in said) is told
        if shape == "--json":
            json.loads(out)


def test_a_journal_that_keeps_fewer_days_says_where_its_figures_begin(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """What has become too old is missed by nobody either."""
    for days, told in ((7, True), (60, False)):
        assert main(["spend", "--ledger", f"{url}?journal_days={days}"]) == 0
        begins = datetime.fromtimestamp(time.time() - days * 86_400, tz=UTC).strftime("%Y-%m-%dT")
        assert (f"keeps {days} days: it begins at {begins}" in capsys.readouterr().out) is told


@pytest.mark.parametrize("shape", [[], ["--json"], ["--csv"], ["--focus"]])
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_a_label_that_is_no_text_hides_no_figure(
    shape: list[str], encoding: str, tmp_path: Path
) -> None:
    """Half of a surrogate pair came from outside; and a terminal may know no bars."""
    url = write_ledger(tmp_path / "ledger.db", [a_call(time.time(), customer="\udc80é", usd=2)])
    told = _aden("spend", "--ledger", url, "--by=customer", *shape, PYTHONIOENCODING=encoding)
    assert (told.returncode, told.stderr) == (0, "")
    assert "2.0" in told.stdout


def test_who_reads_no_further_is_told_no_error(url: str) -> None:
    """As by ``aden spend | head -0``: what is printed lies in a buffer until the command ends."""
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb") as closed:
        told = _aden("spend", "--ledger", url, stdout=closed)
    assert (told.returncode, told.stderr) == (0, "")


_OURS = {"PYTHONPATH": str(Path(aden.__file__).parents[1]), "PYTHONUNBUFFERED": ""}


def _aden(
    *words: str, stdout: "IO[bytes] | int" = subprocess.PIPE, **environment: str
) -> "subprocess.CompletedProcess[str]":
    """The command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "aden", *words],
        stdout=stdout,
        stderr=subprocess.PIPE,
        env={**os.environ, **_OURS, **environment},
        text=True,
        check=False,
    )


def test_a_session_is_shown_whole_and_a_model_writes_no_lines_of_its_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """To be looked for elsewhere; a model's name is the caller's or the provider's."""
    session = "0b8f2f0e-7e0c-4f7b-9a55-0f5d1f1f7c11"
    who = Attribution(session_id=session)
    call = replace(a_call(time.time() - 5, "m\n\x1b[2J" + "x" * 60), attribution=who)
    url = write_ledger(tmp_path / "ledger.db", [call])
    assert main(["spend", "--ledger", url, "--by", "session"]) == 0
    out = capsys.readouterr().out
    assert f"{session} " in out
    assert len({len(line) for line in out.splitlines()[:5]}) == 1
    ledger = open_ledger(url)
    live(ledger, picture := io.StringIO(), 1)
    ledger.close()
    assert "\x1b" not in picture.getvalue()
    assert "m��[2Jxxx" in picture.getvalue()


def test_people_read_cancel_and_programs_the_value_of_the_attribute(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The words of the guide, and those of telemetry."""
    assert main(["spend", "--ledger", url, "--by", "decision"]) == 0
    words = {line.partition(" ")[0] for line in capsys.readouterr().out.splitlines()}
    assert {"proceed", "cancel"} <= words
    assert not words & {"allow", "block"}
    assert main(["spend", "--ledger", url, "--by", "decision", "--json"]) == 0
    groups = json.loads(capsys.readouterr().out)["groups"]
    assert {group["decision"] for group in groups} == {"allow", "block"}


def test_json_is_exact(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Nano-dollars beside dollars."""
    assert main(["spend", "--ledger", url, "--json", "--by", "customer", "--since", "90d"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert {group["customer"]: group["cost_nano_usd"] for group in document["groups"]} == {
        "-": 9 * NANO,
        "acme": NANO // 2,
        "=cmd()": NANO // 4,
    }
    total = document["total"]
    assert total["cost_usd"] == 9.75
    assert (total["calls"], total["sent"], total["refused"]) == (4, 3, 1)


def test_csv_is_harmless_to_spreadsheets(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A customer's name is no formula."""
    assert main(["spend", "--ledger", url, "--csv", "--by", "customer"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert {row["customer"]: row["cost_usd"] for row in rows} == {
        "acme": "0.500000000",
        "'=cmd()": "0.250000000",
    }
    acme = next(row for row in rows if row["customer"] == "acme")
    assert (acme["calls"], acme["sent"], acme["refused"]) == ("2", "1", "1")
    assert harmless("-") == "-"


def test_focus_has_every_column_and_adds_up() -> None:
    """A charge a day and model, periods with their ends, UTC."""
    out = io.StringIO()
    noon = at("2026-12-31T12:00:00")
    records = [a_call(noon, usd=0.5, customer="acme"), a_call(noon + 1, usd=0.25, customer="acme")]
    write_focus(records, "prod", out)
    (charge,) = csv.DictReader(io.StringIO(out.getvalue()))

    assert tuple(charge) == FOCUS_COLUMNS
    assert charge["BilledCost"] == charge["EffectiveCost"] == "0.750000000"
    assert (charge["BillingAccountId"], charge["SubAccountId"]) == ("prod", "acme")
    assert (charge["ChargePeriodStart"], charge["ChargePeriodEnd"]) == (
        "2026-12-31T00:00:00Z",
        "2027-01-01T00:00:00Z",
    )
    assert (charge["BillingPeriodStart"], charge["BillingPeriodEnd"]) == (
        "2026-12-01T00:00:00Z",
        "2027-01-01T00:00:00Z",
    )
    assert (charge["ConsumedQuantity"], charge["ConsumedUnit"]) == ("220", "Tokens")


def test_focus_counts_speech_in_its_own_unit_and_charges_nothing_for_refusals() -> None:
    """Nought tokens for money would be a unit price that nobody can work out."""
    calls = {
        "nova-3": Usage(audio_input_ms=90_000),
        "sonic-3": Usage(characters=700, audio_output_ms=60_000),
        "universal-streaming": Usage(audio_input_ms=1_000, session_ms=30_000),
        "mystery": Usage(),
    }
    records = [replace(a_call(NOON, model), usage=usage) for model, usage in calls.items()]
    out = io.StringIO()
    write_focus([*records, a_call(NOON, "gpt-4o", refused=True)], "prod", out)
    charges = csv.DictReader(io.StringIO(out.getvalue()))
    assert [(row["SkuId"], row["ConsumedQuantity"], row["ConsumedUnit"]) for row in charges] == [
        ("mystery", "1", "Requests"),
        ("nova-3", "1.500000", "Minutes"),
        ("sonic-3", "700", "Characters"),
        ("universal-streaming", "0.500000", "Minutes"),
    ]


def test_a_period_that_lasts_into_the_future_ends_now(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its last hour and its projection are those of now, not of a time without any calls."""
    assert main(["spend", "--ledger", url, "--json"]) == 0
    now = json.loads(capsys.readouterr().out)
    assert main(["spend", "--ledger", url, "--json", "--until", "9999-12-31"]) == 0
    ahead = json.loads(capsys.readouterr().out)
    assert now["last_24h_usd"] > 0
    assert {**ahead, **dict.fromkeys(("since", "until", "projected_month_usd"))} == {
        **now,
        **dict.fromkeys(("since", "until", "projected_month_usd")),
    }
    assert ahead["projected_month_usd"] == pytest.approx(now["projected_month_usd"], rel=0.01)


def test_moments_are_lengths_or_dates() -> None:
    """A date without an offset is one of the time zone."""
    berlin = ZoneInfo("Europe/Berlin")
    assert moment("90m", "--since", NOON, UTC) == NOON - 5400
    assert moment("2026-11-01", "--since", NOON, berlin) == at("2026-10-31T23:00:00")
    assert moment("2026-11-01T00:00+00:00", "--since", NOON, berlin) == at("2026-11-01")
    with pytest.raises(ConfigurationError, match="--since='yesterday'"):
        moment("yesterday", "--since", NOON, UTC)


@pytest.mark.parametrize("words", [["spend"], ["spend", "--live"], ["budgets"]])
@pytest.mark.parametrize("variable", ["ADEN_LEDGER", "XDG_STATE_HOME"])
def test_before_the_first_worker_it_is_said_that_nothing_is_booked_and_where_was_looked(
    words: list[str],
    variable: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """That is no error, and makes no file."""
    place = f"sqlite://{tmp_path}/aden/ledger.db"
    monkeypatch.delenv("ADEN_LEDGER", raising=False)
    monkeypatch.setenv(variable, place if variable == "ADEN_LEDGER" else str(tmp_path))
    assert main(words) == 0
    told, complaint = capsys.readouterr()
    assert f"Nothing has been booked yet: there is no ledger at {place} (" in told
    assert "A worker with budgets, or with ADEN_LEDGER, makes it" in told
    assert complaint == ""
    assert list(tmp_path.iterdir()) == []


def test_before_the_first_worker_programs_read_an_empty_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In its usual shape; people are told beside it."""
    monkeypatch.setenv("ADEN_LEDGER", f"sqlite://{tmp_path}/ledger.db")
    for words in (["spend", "--json"], ["budgets", "--json"], ["spend", "--csv"]):
        assert main(words) == 0
        told, aside = capsys.readouterr()
        assert "Nothing has been booked yet" in aside
        if words[0] == "budgets":
            assert json.loads(told) == []
        elif words[1] == "--json":
            assert json.loads(told)["total"]["cost_nano_usd"] == 0
        else:
            assert told.startswith("model,calls,")


def test_a_ledger_without_a_call_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It may be another one than was meant."""
    url = write_ledger(tmp_path / "ledger.db", [])
    assert main(["spend", "--ledger", url, "--since", "7d"]) == 0
    assert f"No call was booked in {url} since 7d\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--ledger", "memory:"], "--ledger='memory:' is not valid"),
        (["--ledger", "nowhere.db"], "--ledger='nowhere.db' is not valid"),
        (["--ledger", "sqlite:///nowhere/ledger.db"], "a ledger that exists"),
        (["--since", "soon"], "30m, 24h or 7d"),
        (["--since", "2h", "--until", "3h"], "a moment before --until 3h"),
        (
            ["--since", "9999-01-01"],
            "--since='9999-01-01' is not valid: expected a moment before now",
        ),
        (["--since", "999999d"], "--since='999999d' is not valid"),
        (["--timezone", "Mars/Base"], "Europe/Berlin"),
    ],
)
def test_what_is_asked_wrongly_is_told(
    url: str, arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2 and one line; nothing is created."""
    asked = arguments if "--ledger" in arguments else [*arguments, "--ledger", url]
    assert main(["spend", *asked]) == 2
    assert words in capsys.readouterr().err
    assert not Path("/nowhere").exists()


def test_a_ledger_that_the_environment_names_wrongly_is_told_by_its_variable(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Who looks for it finds it: nothing on this line has that value."""
    monkeypatch.setenv("ADEN_LEDGER", "nowhere.db")
    assert main(["spend"]) == 2
    assert "ADEN_LEDGER='nowhere.db' is not valid" in capsys.readouterr().err
