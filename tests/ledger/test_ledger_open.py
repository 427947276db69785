"""How a ledger is opened by its URL."""

import re
from pathlib import Path

import pytest
from ledger_kit import (
    finished,
    python,
)

from aden.errors import ConfigurationError
from aden.ledger import default_ledger_url, open_ledger, shown_url
from aden.ledger.journal import DAY_S, Keep
from aden.ledger.memory import MemoryLedger
from aden.ledger.sqlite import SqliteLedger


def test_ledgers_are_opened_by_url(path: Path) -> None:
    """`memory:` reaches the process, a file reaches the host."""
    file = open_ledger(f"sqlite://{path}", "host")
    assert isinstance(file, SqliteLedger)
    assert (file.url, file.reach) == (f"sqlite://{path}", "host")
    file.close()

    memory = open_ledger("memory:")
    assert isinstance(memory, MemoryLedger)
    assert (memory.url, memory.reach) == ("memory:", "process")


@pytest.mark.parametrize(
    "url", ["", "ledger.db", "sqlite://ledger.db", "sqlite:ledger.db", "http://h", "memory"]
)
def test_another_url_is_a_wrong_setting(url: str) -> None:
    """The error says what is allowed."""
    with pytest.raises(ConfigurationError, match=re.escape("memory: | sqlite:///absolute/path")):
        open_ledger(url)


def test_a_ledger_in_memory_is_no_file_of_that_name(tmp_path: Path) -> None:
    """As SQLAlchemy's URLs have it."""
    with pytest.raises(ConfigurationError, match="memory: is the ledger in this process's memory"):
        open_ledger(f"sqlite://{tmp_path}/:memory:")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("url", ["/var/lib/a.db", "sqlite:/var/lib/a.db", "sqlite://var/lib/a.db"])
def test_who_names_a_path_is_told_its_url(url: str) -> None:
    """Three slashes are easily miscounted."""
    with pytest.raises(ConfigurationError, match=r"did you mean sqlite:///var/lib/a\.db\?"):
        open_ledger(url)


def test_a_files_url_may_bound_its_journal(path: Path) -> None:
    """By number and age; the defaults are 100,000 calls and 400 days."""
    for query, keep in (("", Keep(100_000, 400 * DAY_S)), ("?journal=5", Keep(5, 400 * DAY_S))):
        ledger = open_ledger(f"sqlite://{path}{query}")
        assert isinstance(ledger, SqliteLedger)
        assert (ledger.keep, ledger.path) == (keep, path)
        assert ledger.url == f"sqlite://{path}{query}" == shown_url(ledger.url)
        ledger.close()


@pytest.mark.parametrize("query", ["journal=many", "journal_days=0", "journal_day=3", "journal="])
def test_a_wrong_bound_of_the_journal_is_a_wrong_setting(path: Path, query: str) -> None:
    """The error shows how it is written."""
    with pytest.raises(ConfigurationError, match="journal=calls&journal_days=days"):
        open_ledger(f"sqlite://{path}?{query}")


def test_a_ledger_that_reaches_less_than_asked_is_refused(path: Path) -> None:
    """A fleet must not start on a file."""
    with pytest.raises(ConfigurationError, match=r"reaches the fleet.*reaches the process"):
        open_ledger("memory:", "fleet")
    with pytest.raises(ConfigurationError, match=r"reaches the fleet.*reaches the host"):
        open_ledger(f"sqlite://{path}", "fleet")


def test_the_default_ledger_lies_in_the_state_directory() -> None:
    """By the XDG rules, or below the home directory; without one it has to be named."""
    program = """
from aden.errors import ConfigurationError
from aden.ledger import default_ledger_url
import os, sys
os.environ["XDG_STATE_HOME"] = "/state"
print(default_ledger_url())
os.environ["XDG_STATE_HOME"] = "relative"
os.environ["HOME"] = "/home/me"
print(default_ledger_url())
del os.environ["HOME"]
if os.getuid() == 0:
    os.setuid(54_321)
    try:
        default_ledger_url()
    except ConfigurationError as error:
        print(error)
"""
    out = finished(python(program)).splitlines()

    assert out[:2] == [
        "sqlite:///state/aden/ledger.db",
        "sqlite:///home/me/.local/state/aden/ledger.db",
    ]
    assert all("ADEN_LEDGER" in each for each in out[2:])
    assert default_ledger_url().startswith("sqlite:///")
