"""Environment variables and options: what is wrong says so at the start."""

from pathlib import Path

import pytest

import aden
from aden import ConfigurationError, MeterOptions
from aden.budgets.heard import Heard
from aden.precedence import gate_options
from aden.settings import VARIABLES, Settings

DOCS = Path(__file__).parents[2] / "docs" / "settings.md"


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("ADEN_MODE", "on", "observe"),
        ("ADEN_FAIL_OPEN", "maybe", "true"),
        ("ADEN_HOOK_TIMEOUT_MS", "-5", "60000"),
        ("ADEN_HOOK_TIMEOUT_MS", "1e3", "60000"),
        ("ADEN_BUSY_WAIT_MS", "99999", "60000"),
        ("ADEN_FLUSH_TIMEOUT", "soon", "seconds"),
        ("ADEN_FLUSH_TIMEOUT", "nan", "seconds"),
        ("ADEN_LEDGER_REACH", "planet", "fleet"),
        ("ADEN_ON_REFUSAL", "shout", "hand_over"),
        ("ADEN_HOOK_IN_THREAD", "perhaps", "true"),
        ("ADEN_REFUSE_SPEECH", "perhaps", "true"),
    ],
)
def test_a_wrong_variable_names_itself_its_value_and_what_is_allowed(
    name: str, value: str, allowed: str
) -> None:
    """All three stand in the message."""
    with pytest.raises(ConfigurationError) as caught:
        Settings.from_env({name: value})
    for part in (name, value, allowed):
        assert part in str(caught.value)


def test_an_unknown_variable_of_ours_is_pointed_out(caplog: pytest.LogCaptureFixture) -> None:
    """A typo does not silently do nothing."""
    Settings.from_env({"ADEN_BUDGET": "x"})
    assert "ADEN_BUDGET is not" in caplog.text
    assert "did you mean ADEN_BUDGETS?" in caplog.text


def test_an_unknown_variable_is_pointed_out_once(caplog: pytest.LogCaptureFixture) -> None:
    """A command reads the environment for its ledger, its budgets, its prices."""
    for _ in range(3):
        Settings.from_env({"ADEN_LEDGR": "x"})
    assert caplog.text.count("ADEN_LEDGR is not") == 1


def test_an_unknown_keyword_is_told_with_the_one_that_was_meant() -> None:
    """As an unknown variable is."""
    with pytest.raises(ConfigurationError, match="did you mean hook_timeout_ms"):
        aden.instrument(hook_timeout=5)


def test_a_missing_file_of_prices_is_told_by_who_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The option, or the variable: nobody looks for one that he has not set."""
    missing = str(tmp_path / "prices.toml")
    with pytest.raises(ConfigurationError, match=r"^prices="):
        aden.instrument(prices=missing, ledger="memory:")
    monkeypatch.setenv("ADEN_PRICES", missing)
    with pytest.raises(ConfigurationError, match=r"^ADEN_PRICES="):
        aden.instrument(ledger="memory:")


def test_an_empty_variable_says_nothing() -> None:
    """As in `FOO= python agent.py`."""
    assert Settings.from_env(dict.fromkeys(VARIABLES, "")) == Settings()


def test_the_documentation_lists_exactly_the_variables_that_are_read() -> None:
    """One table in the code, the same in the docs."""
    text = DOCS.read_text()
    rows = {line.split("`")[1]: line for line in text.splitlines() if line.startswith("| `ADEN_")}
    assert set(rows) == set(VARIABLES)
    for name, meaning in VARIABLES.items():
        assert meaning in rows[name]


@pytest.mark.parametrize(
    ("keywords", "setting"),
    [
        ({"emit_metric": "print"}, "emit_metric"),
        ({"on_alert": 3}, "on_alert"),
        ({"before_request": {}}, "before_request"),
        ({"mode": "later"}, "mode"),
        ({"hook_timeout_ms": -1}, "hook_timeout_ms"),
        ({"busy_wait_ms": 1.5}, "busy_wait_ms"),
        ({"server_url": "aden.example.com", "api_key": "k"}, "server_url"),
        ({"server_url": "ftp://aden.example.com", "api_key": "k"}, "server_url"),
        ({"server_url": "https://host:port", "api_key": "k"}, "server_url"),
        ({"server_url": "https://aden example.com", "api_key": "k"}, "server_url"),
        ({"server_url": "https://aden.example.com/my path", "api_key": "k"}, "server_url"),
        ({"server_url": "http://aden.example.com", "api_key": "k"}, "server_url"),
        ({"server_url": "https://aden.example.com", "api_key": "k\ney"}, "api_key"),
        ({"server_url": "http://127.evil.example", "api_key": "k"}, "server_url"),
        ({"fail_open": "false"}, "fail_open"),
        ({"trust_request_metadata": "no"}, "trust_request_metadata"),
        ({"ledger": 5}, "ledger"),
        ({"api_key": 5}, "api_key"),
        ({"budgets": aden.Budget("b", 1)}, "budgets"),
        ({"budgets": 5}, "budgets"),
        ({"attribution": "acme"}, "attribution"),
    ],
)
def test_a_wrong_option_names_itself(keywords: dict[str, object], setting: str) -> None:
    """When the options are made, not at the first call."""
    with pytest.raises(ConfigurationError) as caught:
        MeterOptions(**keywords)  # type: ignore[arg-type]
    assert caught.value.setting == setting


def test_a_key_is_in_no_message_and_no_repr() -> None:
    """Neither of the options nor of the error about them."""
    options = MeterOptions(api_key="sk-secret-key", server_url="https://aden.example.com")
    assert "secret" not in repr(options)
    with pytest.raises(ConfigurationError) as caught:
        MeterOptions(api_key="sk-secret key", server_url="https://aden.example.com")
    assert "secret" not in str(caught.value)
    with pytest.raises(ConfigurationError) as caught:
        MeterOptions(server_url="ftp://user:secret@aden.example.com")
    assert "secret" not in str(caught.value)
    assert "secret" not in repr(Settings.from_env({"ADEN_API_KEY": "sk-secret"}))


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://localhost:1", "ws://[::1]:1"])
def test_a_key_may_go_over_plain_http_to_this_machine(url: str) -> None:
    """Loopback is no network."""
    MeterOptions(api_key="k", server_url=url)


@pytest.mark.parametrize(
    ("keywords", "setting"),
    [
        ({"ledger": "postgres://x"}, "ledger"),
        ({"ledger": "sqlite://relative.db"}, "ledger"),
        ({"budgets": [aden.Budget("b", 1), aden.Budget("b", 1)]}, "budgets"),
        ({"bugdets": []}, "bugdets"),
    ],
)
def test_instrument_raises_for_a_wrong_setting_and_changes_nothing(
    keywords: dict[str, object], setting: str
) -> None:
    """No half-armed gate is left behind."""
    from aden.runtime import current_runtime

    with pytest.raises(ConfigurationError) as caught:
        aden.instrument(**keywords)  # type: ignore[arg-type]
    assert caught.value.setting == setting
    assert current_runtime() is None


def test_a_wrong_ledger_is_named_as_it_was_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the variable, or where code wins by the option."""
    monkeypatch.setenv("ADEN_LEDGER", "nowhere.db")
    with pytest.raises(ConfigurationError, match=r"^ADEN_LEDGER='nowhere\.db'"):
        aden.instrument()
    with pytest.raises(ConfigurationError, match=r"^ledger='elsewhere\.db'"):
        aden.instrument(ledger="elsewhere.db")


def test_a_ledger_that_does_not_reach_far_enough_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """ADEN_LEDGER_REACH states what the operator relies on."""
    monkeypatch.setenv("ADEN_LEDGER_REACH", "fleet")
    with pytest.raises(ConfigurationError, match="fleet"):
        aden.instrument(ledger="memory:")


def test_what_callers_hear_is_said_in_code_or_by_the_environment() -> None:
    """Code wins, each setting by itself; without a word a refused caller hears a sentence."""
    assert gate_options(MeterOptions(), Settings()).heard == Heard()
    environment = {
        "ADEN_ON_REFUSAL": "close",
        "ADEN_REFUSAL_MESSAGE": "Goodbye.",
        "ADEN_FILLER_MESSAGE": "One moment.",
    }
    settings = Settings.from_env(environment)
    assert gate_options(MeterOptions(), settings).heard == Heard(
        "close", "Goodbye.", None, "One moment."
    )
    options = MeterOptions(on_refusal="raise", filler_message="Wait.")
    assert gate_options(options, settings).heard == Heard("raise", "Goodbye.", None, "Wait.")


def test_refusing_speech_at_a_session_s_start_is_asked_for() -> None:
    """In code or by the environment; code wins."""
    assert not gate_options(MeterOptions(), Settings()).refuse_speech
    asked = Settings.from_env({"ADEN_REFUSE_SPEECH": "true"})
    assert gate_options(MeterOptions(), asked).refuse_speech
    assert not gate_options(MeterOptions(refuse_speech=False), asked).refuse_speech
