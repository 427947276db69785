"""Real LiveKit workers: a program started by its own command line, in processes of its own."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

import aden
from aden.core.record import CallRecord
from aden.core.window import Window
from aden.ledger import Balance, open_ledger
from aden.testing import OpenAIServer

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = Path(__file__).with_name("programs")
LAUNCH = (str(Path(sys.executable).with_name("opentelemetry-instrument")), sys.executable)
DISTRO = {"OTEL_PYTHON_DISTRO": "aden", "OTEL_PYTHON_CONFIGURATOR": "aden"}
"""Which distro `LAUNCH` sets up."""
OURS = ("ADEN_", "OTEL_", "LIVEKIT_", "OPENAI_", "AGENT_")

ONE_BUDGET = """\
[[budget]]
id = "calls"
limit_usd = "1"
"""


def clean_environment(**variables: str) -> dict[str, str]:
    """This process's environment without what would change how a worker behaves."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    inherited.pop("PYTHONDONTWRITEBYTECODE", None)  # each process would compile everything anew
    source = str(Path(aden.__file__).resolve().parents[1])
    return {**inherited, "PYTHONPATH": source, "PYTHONUNBUFFERED": "1", **variables}


class Home:
    """A directory with a budget file and a ledger."""

    def __init__(self, path: Path, provider: OpenAIServer, budgets: str = ONE_BUDGET) -> None:
        self.path = path
        self.provider = provider
        self.budgets = path / "budgets.toml"
        self.budgets.write_text(budgets)
        self.ledger_url = f"sqlite://{path / 'ledger.db'}"

    @property
    def environment(self) -> dict[str, str]:
        """The variables of a worker that lives here."""
        return {
            "OPENAI_BASE_URL": self.provider.base_url,
            "OPENAI_API_KEY": "sk-test",
            "ADEN_BUDGETS": str(self.budgets),
            "ADEN_LEDGER": self.ledger_url,
        }

    @property
    def asked(self) -> int:
        """Chat requests that reached the provider."""
        return sum(seen.path.endswith("/completions") for seen in self.provider.requests)

    def balance(self, key: str = "calls", window: Window | None = None) -> Balance:
        """What stands in a budget's window."""
        ledger = open_ledger(self.ledger_url)
        try:
            (balance,) = ledger.balances([(key, window or Window())])
        finally:
            ledger.close()
        return balance

    def assert_nothing_is_held(self) -> None:
        """The budget's spend is that of the settled calls."""
        balance = self.balance()
        assert (balance.held, balance.unconfirmed) == (0, 0)
        assert balance.settled == sum(record.cost for record in self.journal())

    def journal(self) -> tuple[CallRecord, ...]:
        """The settled calls of all processes."""
        ledger = open_ledger(self.ledger_url)
        try:
            return tuple(ledger.journal())
        finally:
            ledger.close()


class Worker:
    """``python <program> start``, and what it and its job processes print.

    ``--simulation`` is LiveKit's own switch for workers side by side on one machine: no health
    check on the fixed port 8081, and no job is turned away because the machine is busy.
    """

    def __init__(
        self,
        program: Path,
        home: Path,
        variables: Mapping[str, str],
        *options: str,
        command: Sequence[str] = (sys.executable,),
        action: Sequence[str] = ("start", "--simulation"),
    ) -> None:
        self._log = home / f"{program.stem}.log"
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [*command, str(program), *action, *options],
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=home,
                env=clean_environment(**variables),
                start_new_session=True,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Whatever is left of the worker and its job processes ends here."""
        kill_group(self.process)

    @property
    def output(self) -> str:
        """Everything that was printed so far."""
        return self._log.read_text(errors="replace")

    def terminate(self, timeout_s: float = 40) -> int:
        """Ask the worker to end, as a service manager does; its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout_s)

    def says(self, text: str, timeout_s: float = 60) -> None:
        """Wait until something was printed."""
        wait_until(lambda: text in self.output, timeout_s, f"{text!r} was not printed", self)


def kill_group(leader: "subprocess.Popen[bytes]") -> None:
    """End a process and all that it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(leader.pid, signal.SIGKILL)
    leader.wait(10)


def wait_until(
    condition: object, timeout_s: float, complaint: str, worker: Worker | None = None
) -> None:
    """Poll *condition*, a function, until it holds."""
    assert callable(condition)
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            lines = worker.output.splitlines()[-40:] if worker else []
            raise AssertionError("\n".join([complaint, *(line[:300] for line in lines)]))
        time.sleep(0.02)


def lives(pid: int) -> bool:
    """Whether a process is there, and is no zombie."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"
