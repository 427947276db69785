"""A terminal with somebody at it: a program that believes so, and what it shows."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from workers import kill_group

PROMPT = "Type to talk to your agent"
LINES, COLUMNS = 50, 160


class Terminal:
    """A program on a pseudo-terminal of its own."""

    def __init__(self, command: Sequence[str], home: Path, variables: Mapping[str, str]) -> None:
        self._screen, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
        self.process = subprocess.Popen(
            command,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            cwd=home,
            env={**variables, "TERM": "xterm-256color"},
            start_new_session=True,
        )
        os.close(theirs)
        self._shown = b""
        self._seen = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Whatever is left of the program ends here."""
        kill_group(self.process)
        os.close(self._screen)

    @property
    def text(self) -> str:
        """All that was shown, without colours and movements."""
        text = self._shown.decode(errors="replace").replace("\r", "")
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)

    def shows(self, pattern: str, timeout_s: float = 60) -> None:
        """Wait until something is shown that was not waited for before."""
        assert self._comes(pattern, timeout_s), self.text[-3000:]

    def say(self, question: str) -> None:
        """Type a question; LiveKit's console forgets what is typed before it looks for a key."""
        for _ in range(10):
            os.write(self._screen, f"{question}\r".encode())
            if self._comes("● You", 3):
                return
        raise AssertionError(self.text[-3000:])

    def ask(self, question: str) -> None:
        """Type a question and wait for the answer, after which the next may be typed."""
        self.say(question)
        self.shows("● Agent")
        self.shows(PROMPT)

    def interrupt(self) -> None:
        """Press Ctrl-C while the program does not read keys."""
        os.killpg(self.process.pid, signal.SIGINT)

    def exit_code(self, timeout_s: float = 30) -> int:
        """Wait until the program has ended."""
        deadline = time.monotonic() + timeout_s
        while self._read():
            assert time.monotonic() < deadline, self.text[-3000:]
        return self.process.wait(timeout_s)

    def _comes(self, pattern: str, timeout_s: float) -> bool:
        deadline = time.monotonic() + timeout_s
        while (found := re.search(pattern, self.text[self._seen :])) is None:
            if not self._read() or time.monotonic() > deadline:
                return False
        self._seen += found.end()
        return True

    def _read(self) -> bool:
        """Take what is shown by now; False where nobody shows anything any more."""
        if not select.select([self._screen], [], [], 0.1)[0]:
            return self.process.poll() is None
        try:
            shown = os.read(self._screen, 65_536)
        except OSError:  # the last who had it open is gone
            return False
        self._shown += shown
        return bool(shown)
