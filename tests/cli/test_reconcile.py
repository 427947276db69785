"""`aden reconcile`: the provider's export against the journal."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from journals import a_call, at, write_ledger

from aden.cli import main
from aden.cli.reconcile.compare import compare
from aden.cli.reconcile.export import read_export
from aden.errors import ConfigurationError

OPENAI = """\
start_time,end_time,start_time_iso,end_time_iso,project_id,num_model_requests,user_id,model,\
input_tokens,output_tokens,input_cached_tokens
1763596800,1763683200,2025-11-20T00:00:00+00:00,2025-11-21T00:00:00+00:00,p,2,,\
gpt-4o-2024-08-06,300,30,0
1763683200,1763769600,2025-11-21T00:00:00+00:00,2025-11-22T00:00:00+00:00,,,,,,,
1763769600,1763856000,2025-11-22T00:00:00+00:00,2025-11-23T00:00:00+00:00,p,1,,\
gpt-4o-mini-2024-07-18,1000,100,0
"""
NOON = at("2025-11-20T12:00:00")


@pytest.fixture
def export(tmp_path: Path) -> Path:
    """As OpenAI's usage page exports it, a day without usage included."""
    path = tmp_path / "usage.csv"
    path.write_text(OPENAI)
    return path


def test_both_sides_meet_by_day_and_model(export: Path) -> None:
    """Names with and without a date are the same model; other days are not compared."""
    records = [
        a_call(NOON, "gpt-4o", 0.01, (100, 10), response_model="gpt-4o-2024-08-06"),
        a_call(NOON, "gpt-4o", 0.01, (200, 20)),
        a_call(NOON, "gpt-4o", refused=True),
        a_call(at("2025-11-22T23:59:59"), "gpt-4o-mini", 0.01, (990, 100), estimated=True),
        a_call(at("2025-11-22T00:00:00"), "o3", 0.01, (7, 7)),
        a_call(at("2025-11-23T00:00:00"), "gpt-4o", 0.01, (5, 5)),
    ]
    exact, mini, unknown = compare(read_export(export), records)

    assert (exact.day, exact.model, exact.percent) == ("2025-11-20", "gpt-4o-2024-08-06", 0.0)
    assert (exact.ours.requests, exact.ours.input, exact.ours.output) == (2, 300, 30)
    assert (mini.model, mini.ours.estimated) == ("gpt-4o-mini-2024-07-18", 1)
    assert mini.percent == pytest.approx(-100 * 10 / 1000)
    assert (unknown.model, unknown.percent) == ("o3", 100.0)


def test_a_day_that_the_export_leaves_out_is_a_day_without_usage(tmp_path: Path) -> None:
    """Between its first and its last day; what we have there passed by the provider's count."""
    path = tmp_path / "usage.csv"
    path.write_text(
        "date,model,input_tokens,output_tokens\n2025-11-20,gpt-4o,5,5\n2025-11-22,gpt-4o,5,5\n"
    )
    days = ("2025-11-19", "2025-11-20", "2025-11-21", "2025-11-22", "2025-11-23")
    calls = [a_call(at(f"{day}T12:00:00"), "gpt-4o", 0.01, (5, 5)) for day in days]
    drifts = compare(read_export(path), calls)
    assert [(drift.day, drift.percent) for drift in drifts] == [
        ("2025-11-20", 0.0),
        ("2025-11-21", 100.0),
        ("2025-11-22", 0.0),
    ]


def test_the_export_says_by_empty_lines_how_far_it_goes(export: Path) -> None:
    """As OpenAI's do for days without usage, also at its ends."""
    with export.open("a") as file:
        file.write("1763856000,1763942400,2025-11-23T00:00:00+00:00,,,,,,,,\n")
    last = compare(read_export(export), [a_call(at("2025-11-23T12:00:00"), "gpt-4o")])[-1]
    assert (last.day, last.model, last.percent) == ("2025-11-23", "gpt-4o", 100.0)


def test_what_went_to_other_providers_is_none_of_this_exports_business(export: Path) -> None:
    """Nor is speech, which has no tokens to compare; a model that it does not name is."""
    claude = replace(a_call(NOON, "claude-sonnet-4-5"), provider="anthropic")
    heard = replace(a_call(NOON, "whisper-1", tokens=(0, 0)), component="stt")
    calls = [a_call(NOON, "gpt-4o", 0.01, (300, 30)), a_call(NOON, "o3"), claude, heard]
    drifts = compare(read_export(export), calls)
    assert [drift.model for drift in drifts] == [
        "gpt-4o-2024-08-06",
        "o3",
        "gpt-4o-mini-2024-07-18",
    ]
    alone = compare(read_export(export), [claude])
    assert [drift.model for drift in alone if drift.ours.requests] == ["claude-sonnet-4-5"]


def test_embeddings_are_compared_where_the_export_names_some(export: Path) -> None:
    """OpenAI's usage page exports completions and embeddings to a file each."""
    calls = [a_call(NOON, "gpt-4o", 0.01, (300, 30)), a_call(NOON, "text-embedding-3-small")]
    drifts = compare(read_export(export), calls)
    assert [drift.model for drift in drifts] == ["gpt-4o-2024-08-06", "gpt-4o-mini-2024-07-18"]
    with export.open("a") as file:
        file.write("1763769600,,2025-11-22T00:00:00+00:00,,p,1,,text-embedding-3-large,8,0,0\n")
    models = [drift.model for drift in compare(read_export(export), calls)]
    assert models[1:] == [
        "text-embedding-3-small",
        "gpt-4o-mini-2024-07-18",
        "text-embedding-3-large",
    ]


def test_too_much_input_does_not_make_up_for_too_little_output(export: Path) -> None:
    """They have prices of their own."""
    drift, _ = compare(read_export(export), [a_call(NOON, "gpt-4o", 0.01, (330, 0))])
    assert drift.percent == -100.0


@pytest.mark.parametrize("tolerance", ["nan", "inf", "-1"])
def test_a_tolerance_that_none_could_exceed_is_refused(
    export: Path, tmp_path: Path, tolerance: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing would ever drift."""
    url = write_ledger(tmp_path / "ledger.db", [a_call(NOON)])
    assert main(["reconcile", str(export), "--ledger", url, "--tolerance", tolerance]) == 2
    assert "per cent, 0 or more" in capsys.readouterr().err


def test_a_drift_is_shown_and_told_by_the_exit_code(
    export: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Marked in the table; 1 where it exceeds the tolerance."""
    url = write_ledger(
        tmp_path / "ledger.db",
        [
            a_call(NOON, "gpt-4o", 0.01, (300, 30)),
            a_call(at("2025-11-22T10:00:00"), "gpt-4o-mini", 0.01, (985, 100)),
        ],
    )
    assert main(["reconcile", str(export), "--ledger", url]) == 1
    shown = capsys.readouterr().out
    assert "-1.50%" in shown
    assert "1 of 2 differ by more than 1 %" in shown

    assert main(["reconcile", str(export), "--ledger", url, "--tolerance", "2", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["aden"]["input"] for row in rows] == [300, 985]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("date,model,input_tokens\n", "a column for the output"),
        ("date,model,input_tokens,output_tokens\nsoon,m,1,1\n", "line 2: day='soon'"),
        ("date,model,input_tokens,output_tokens\n2026-01-01,m,-1,1\n", "line 2: input='-1'"),
        ("date,model,input_tokens,output_tokens\n2026-01-01,m,1,many\n", "line 2: output='many'"),
        ("date,model,input_tokens,output_tokens\n2026-01-01,m,1\n", "line 2='3 fields'"),
        ("date,model,input_tokens,output_tokens\n2026-01-01,m,1,000,7\n", "line 2='5 fields'"),
        ("start_time,amount_value,amount_currency,line_item\n", "of costs, not of usage"),
        ("usage_date_utc,model,token_type,cost_usd\n", "of costs, not of usage"),
        ("", "a column for the day"),
    ],
)
def test_an_export_that_cannot_be_read_is_told_by_line(
    tmp_path: Path, text: str, words: str
) -> None:
    """What, which value, what is allowed."""
    path = tmp_path / "usage.csv"
    path.write_text(text)
    with pytest.raises(ConfigurationError) as raised:
        read_export(path)
    assert words in str(raised.value)


def test_a_missing_export_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By its path."""
    assert main(["reconcile", str(tmp_path / "none.csv")]) == 2
    assert "none.csv" in capsys.readouterr().err


@pytest.mark.parametrize("between", [";", "\t"])
def test_what_a_spreadsheet_has_written_again_is_read(between: str, tmp_path: Path) -> None:
    """With a mark of its encoding and with other separators, by its country."""
    path = tmp_path / "usage.csv"
    head, line = "date,model,input_tokens,output_tokens", "2026-11-21,gpt-4o,300,30"
    path.write_text(f"\ufeff{head}\r\n{line}\r\n".replace(",", between), newline="")
    (counts,) = read_export(path).counts.values()
    assert (counts.input, counts.output) == (300, 30)


def test_anthropics_export_counts_the_input_in_parts(tmp_path: Path) -> None:
    """Its columns are those of platform.claude.com's usage page; a line a key and workspace."""
    path = tmp_path / "usage.csv"
    path.write_text(
        "usage_date_utc,model_version,api_key,workspace,usage_type,context_window,"
        "usage_input_tokens_no_cache,usage_input_tokens_cache_write_5m,"
        "usage_input_tokens_cache_write_1h,usage_input_tokens_cache_read,usage_output_tokens,"
        "web_search_count,inference_geo,speed\n"
        "2025-11-20,claude-sonnet-4-5-20250929,a,Default,standard,≤ 200k,1,20,300,4000,7,0,,\n"
        "2025-11-20,claude-sonnet-4-5-20250929,b,Default,standard,≤ 200k,50000,0,0,0,70,0,,\n"
    )
    call = replace(a_call(NOON, "claude-sonnet-4-5", tokens=(54_321, 77)), provider="anthropic")
    (drift,) = compare(read_export(path), [call])
    assert (drift.theirs.input, drift.theirs.output, drift.percent) == (54_321, 77, 0.0)


def test_columns_are_known_by_the_words_of_their_names(tmp_path: Path) -> None:
    """As people write them at the head of a table."""
    path = tmp_path / "usage.csv"
    path.write_text("Date,Model,Input Tokens,Output-Tokens\n2025-11-20,gpt-4o,300,30\n")
    (counts,) = read_export(path).counts.values()
    assert (counts.input, counts.output) == (300, 30)


@pytest.mark.parametrize(
    "days",
    [
        ("11/8/2025", "11/20/2025"),
        ("8.11.2025", "20.11.2025"),
        ("2025/11/08 0:00", "2025/11/20 0:00"),
        ("11/08/2025, 12:00:00 AM", "11/20/2025, 12:00:00 AM"),
    ],
)
def test_dates_as_countries_write_them_are_read_by_what_the_file_shows(
    days: tuple[str, str], tmp_path: Path
) -> None:
    """A number above 12 is no month, in one date and so in all of them."""
    assert _days(tmp_path, *days) == ["2025-11-08", "2025-11-20"]


@pytest.mark.parametrize(
    "days", [("11/8/2025", "12/8/2025"), ("11/8/2025", "20/8/2025", "8/20/2025")]
)
def test_a_date_that_may_be_two_is_refused(days: tuple[str, ...], tmp_path: Path) -> None:
    """Where no date of the file shows the order, or some show the one and some the other."""
    with pytest.raises(ConfigurationError) as raised:
        _days(tmp_path, *days)
    assert "line 2: day='11/8/2025' is not valid: expected a date that can be read in one way" in (
        str(raised.value)
    )


def test_the_same_number_twice_is_one_date_whatever_comes_first(tmp_path: Path) -> None:
    """The eleventh of November."""
    assert _days(tmp_path, "11/11/2025") == ["2025-11-11"]


def _days(tmp_path: Path, *days: str) -> list[str]:
    """The days of an export whose dates are written so."""
    path = tmp_path / "usage.csv"
    lines = (f'"{day}",gpt-4o,5,5' for day in days)
    path.write_text("\n".join(("date,model,input_tokens,output_tokens", *lines, "")))
    return [day for day, _ in read_export(path).counts]


@pytest.mark.parametrize("rows", [0, 1])
def test_an_export_without_usage_is_no_proof_that_all_is_well(
    rows: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither a header alone, nor one above days on which nothing was used."""
    export = tmp_path / "usage.csv"
    head, *days = (line for line in OPENAI.splitlines() if ",p," not in line and "gpt" not in line)
    export.write_text("\n".join((head, *days[:rows], "")))
    url = write_ledger(tmp_path / "ledger.db", [a_call(NOON)])
    assert main(["reconcile", str(export), "--ledger", url]) == 2
    assert f"{export}' is not valid: expected a file with usage in it" in capsys.readouterr().err
