"""``aden prices``: what a person and a program read."""

import json
from pathlib import Path

import pytest

from aden.cli import main


def test_a_price_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    """Each rate with its unit, where it stands and how it was found."""
    assert main(["prices", "gpt-4o-2031-01-31"]) == 0
    shown = capsys.readouterr().out
    assert "  input                 $2.50  for 1M tokens\n" in shown
    assert "  cached                $1.25  for 1M tokens\n" in shown
    assert "price of   openai/gpt-4o (dated snapshot)\n" in shown
    assert "source     genai-prices: https://" in shown


def test_speech_is_found_without_its_provider(capsys: pytest.CaptureFixture[str]) -> None:
    """And dated."""
    assert main(["prices", "nova-3"]) == 0
    shown = capsys.readouterr().out
    assert "$0.0048  for a minute of speech\n" in shown
    assert "source     overlay: https://deepgram.com/pricing" in shown
    assert "as of      20" in shown


def test_tiers_steps_and_bridges_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    """What a call may cost besides."""
    assert main(["prices", "gpt-6.1-terra", "--tier", "flex"]) == 0
    shown = capsys.readouterr().out
    assert "$0.50  for 1M tokens\n" in shown
    assert "$1.00  above 272,000 input tokens\n" in shown
    assert "tier       flex\n" in shown
    assert main(["prices", "gpt-4o-transcribe"]) == 0
    shown = capsys.readouterr().out
    assert "where only other units are known (estimated)" in shown
    assert "$0.006  for a minute heard\n" in shown
    assert main(["prices", "whisper-large-v3", "--provider", "groq"]) == 0
    assert "at least   10 s a request\n" in capsys.readouterr().out


def test_a_user_s_own_price_is_explained(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """By the file that ADEN_PRICES names."""
    path = tmp_path / "prices.toml"
    path.write_text(
        'multiplier = "0.8"\n[[price]]\nhost = "localhost:11434"\nmodel = "*"\nfree = true\n'
    )
    monkeypatch.setenv("ADEN_PRICES", str(path))
    assert main(["prices", "gpt-4o"]) == 0
    shown = capsys.readouterr().out
    assert "$2.00  for 1M tokens\n" in shown
    assert "multiplier 0.8\n" in shown
    assert main(["prices", "llama3", "--host", "localhost:11434"]) == 0
    shown = capsys.readouterr().out
    assert "  free\n" in shown
    assert "source     user\n" in shown
    path.write_text("multiplier = 7e9")
    assert main(["prices", "gpt-4o"]) == 2
    assert "multiplier=7000000000.0 is not valid" in capsys.readouterr().err


def test_without_a_price_it_says_what_counts_and_how_to_price_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With an exit code for scripts."""
    assert main(["prices", "gtp-4o"]) == 1
    shown = capsys.readouterr().out
    assert "No price is known for 'gtp-4o'; did you mean gpt-4o?\n" in shown
    assert '[[price]]\nprovider = "openai"\nmodel = "gtp-4o"\ninput_per_1m = "150"\n' in shown


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (["gpt-4o-mni", "--provider", "openai"], "; did you mean gpt-4o-mini, gpt-"),
        (["claude-3-5-sonet"], "; did you mean claude-3-5-sonnet, claude-3.5-sonnet or claude-"),
        (["claude-3-5-sonet", "--provider", "openai"], "'claude-3-5-sonet'.\n"),
        (["nova-33", "--provider", "deepgram"], "; did you mean nova-3"),
        (["house-mdel"], "; did you mean house-model?\n"),
        (["xyz"], "'xyz'.\n"),
    ],
)
def test_the_nearest_models_of_that_provider_are_named(
    asked: list[str],
    said: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """Of all providers where none is named; speech and a user's own models too."""
    path = tmp_path / "prices.toml"
    path.write_text('[[price]]\nprovider = "openai"\nmodel = "house-model"\nfree = true\n')
    monkeypatch.setenv("ADEN_PRICES", str(path))
    assert main(["prices", *asked]) == 1
    assert said in capsys.readouterr().out


@pytest.mark.parametrize(("given", "meant"), [("nosuch", ""), ("openia", "did you mean openai?")])
def test_a_provider_that_nobody_knows_is_refused_with_those_that_are(
    given: str, meant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A price of another provider's would be the wrong answer; a user's own host has any name."""
    assert main(["prices", "gpt-4o", "--provider", given]) == 2
    said = capsys.readouterr().err
    assert f"--provider='{given}' is not valid: expected one with a known price" in said
    assert ", deepgram, " in said
    assert meant in said
    assert main(["prices", "gpt-4o", "--provider", "Azure.AI.OpenAI"]) == 0
    assert main(["prices", "llama3", "--provider", given, "--host", "localhost:11434"]) == 1


def test_programs_read_json(capsys: pytest.CaptureFixture[str]) -> None:
    """Amounts are decimal strings: exact."""
    assert main(["prices", "gpt-4o", "--json", "--tier", "priority"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["rates"]["input"] == {"usd": "4.25", "per": "1M tokens", "above": {}}
    assert (told["model"], told["matched"], told["tier"]) == ("openai/gpt-4o", "exact", "priority")
    assert told["source"] == "genai-prices"
    assert main(["prices", "gtp-4o", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["source"] == "floor"


@pytest.mark.parametrize("host", ["[::1]:8080", "localhost:11434", "gpu.internal"])
def test_the_table_to_copy_names_the_host(host: str, capsys: pytest.CaptureFixture[str]) -> None:
    """As the request's base URL has it."""
    assert main(["prices", "llama-of-ours", "--host", host]) == 1
    assert f'host = "{host}"' in capsys.readouterr().out


def test_a_host_is_no_url(capsys: pytest.CaptureFixture[str]) -> None:
    """The table to copy would name a host that no request has."""
    assert main(["prices", "llama3", "--host", "http://localhost:11434/v1"]) == 2
    assert "--host='http://localhost:11434/v1' is not valid" in capsys.readouterr().err
