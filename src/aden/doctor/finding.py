"""What the doctor finds, for people and for programs."""

import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

Level = Literal["ok", "warning", "failure"]
Part = Literal[
    "opentelemetry", "gate", "coverage", "ledger", "policy", "endpoints", "configuration"
]
EXIT_CODES: Mapping[Level, int] = {"ok": 0, "warning": 1, "failure": 2}
_MARKS: Mapping[Level, str] = {"ok": "ok  ", "warning": "WARN", "failure": "FAIL"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    part: Part
    what: str
    """Its name, of a few words."""
    said: str
    """How it is, and where it is wrong, what to do."""
    level: Level = "ok"
    facts: Mapping[str, object] = field(default_factory=dict)
    """The same and more, for programs; plain values, without secrets."""


@dataclass(frozen=True, slots=True)
class Report:
    """All findings of one examination."""

    version: str
    findings: Sequence[Finding]

    @property
    def worst(self) -> Level:
        """The worst of the findings."""
        return max(
            (each.level for each in self.findings),
            key=lambda level: EXIT_CODES[level],
            default="ok",
        )

    def as_text(self) -> str:
        """A line for each finding, by its part."""
        python = ".".join(map(str, sys.version_info[:3]))
        lines = [f"aden-py {self.version}, Python {python}, process {os.getpid()}"]
        width = min(26, max((len(each.what) for each in self.findings), default=0))
        for part in dict.fromkeys(each.part for each in self.findings):
            lines += ["", part]
            lines += _lines((each for each in self.findings if each.part == part), width)
        warnings, failures = (
            sum(each.level == level for each in self.findings) for level in ("warning", "failure")
        )
        return "\n".join([*lines, "", f"{failures} failure(s), {warnings} warning(s)"])

    def as_json(self) -> str:
        """For programs."""
        found = [
            {"part": f.part, "what": f.what, "level": f.level, "said": f.said, "facts": f.facts}
            for f in self.findings
        ]
        return json.dumps(
            {"version": self.version, "pid": os.getpid(), "worst": self.worst, "findings": found},
            indent=2,
            ensure_ascii=False,
            default=str,
        )


def _lines(found: Iterable[Finding], width: int) -> Iterable[str]:
    return (f"  {_MARKS[each.level]}  {each.what:<{width}}  {each.said}" for each in found)
