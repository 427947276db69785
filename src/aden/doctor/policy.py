"""Which policy is in force, and where it came from."""

import time
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from aden.budgets.doubts import unknown_models
from aden.budgets.watch import PolicyFile
from aden.control.agent import ControlAgent
from aden.control.state import ControlState
from aden.doctor.finding import Finding, Level
from aden.doctor.subject import Subject


def policy(subject: Subject) -> Iterable[Finding]:
    """Its source, version, age and size, and the models in it that no price knows."""
    current = subject.meter.policy()
    owner = getattr(subject.meter.policy, "__self__", None)
    source, age_s = "code", None
    if isinstance(owner, PolicyFile):
        source, age_s = str(owner.path), _age(owner.path)
    elif isinstance(owner, ControlAgent):
        source, age_s = owner.server.url, owner.state.age_s
    elif not current.budgets and not current.rules:
        source = "none"
    counted = f"{len(current.budgets)} budget(s), {len(current.rules)} rule(s)"
    said = f"{counted}, version {current.version}, mode {current.mode}, from {source}"
    if age_s is not None:
        said += f", {'said' if isinstance(owner, ControlAgent) else 'written'} {_ago(age_s)} ago"
    facts = {
        "source": source,
        "version": current.version,
        "mode": current.mode,
        "budgets": [each.id for each in current.budgets[:1000]],
        "rules": len(current.rules),
        "age_s": age_s,
    }
    if source == "none" and current.missing is not None:
        said = "not known: a setting is wrong, see gate"
    elif source == "none":
        said = "no budgets and no rules: nothing is limited; name a file in ADEN_BUDGETS"
    yield Finding("policy", "in force", said, "warning" if source == "none" else "ok", facts)
    for doubt in unknown_models(current, subject.meter.prices):
        yield Finding("policy", "unknown price", doubt, "warning")
    if subject.control is not None:
        yield _server(subject.control.state)


def _server(state: ControlState) -> Finding:
    """The Aden server, and what became of what it was told."""
    policy = f"policy {state.policy_id!r} version {state.version} from {state.source}"
    said = f"{state.url}: {policy if state.source else 'no policy yet'}"
    if not state.in_force:
        said += ", not in force: code or a file names the budgets"
    said += f"; {state.sent} event(s) sent, {state.waiting} waiting"
    if lost := state.dropped + state.rejected:
        said += f", {lost} lost"
    if state.absent:
        said = f"{state.url} is no control server: no policy comes from there"
    if state.last_error is not None:
        said += f"; {state.last_error}"
    level: Level = "warning" if state.last_error or lost else "ok"
    return Finding("policy", "server", said, level, asdict(state))


def _age(path: Path) -> float | None:
    try:
        return max(0.0, time.time() - path.stat().st_mtime)
    except OSError:
        return None


def _ago(seconds: float) -> str:
    for size, name in ((86400.0, "d"), (3600.0, "h"), (60.0, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {name}"
    return f"{seconds:.0f} s"
