"""Whether requests are decided here: by which wrappers, in which mode."""

import sys
from collections.abc import Iterable, Sequence

from aden.doctor.finding import Finding
from aden.doctor.subject import Subject
from aden.instrumentation.active import active_meter
from aden.instrumentation.livekit import LIVEKIT
from aden.instrumentation.livekit.features import FEATURES
from aden.instrumentation.openai import OPENAI
from aden.instrumentation.patches import Patches


def gate(subject: Subject) -> Iterable[Finding]:
    """The meter in force, its mode, and where its wrappers stand."""
    if (missing := subject.meter.policy().missing) is not None:
        then = "let through" if subject.meter.options.fail_open else "refused"
        yield Finding("gate", "settings", f"{missing.message}; requests are {then}", "failure")
    elif (active := active_meter()) is None:
        yield Finding("gate", "in force", "no: requests of this process are not seen", "failure")
    else:
        replaced = active is not subject.meter
        said = "yes; other settings than these, meanwhile" if replaced else "yes"
        yield Finding("gate", "in force", said)
    mode = subject.meter.policy().mode
    if mode != "enforce":
        yield Finding("gate", "mode", f"{mode}: nothing is refused by budgets", "warning")
    if subject.meter.options.fail_open:
        said = "what cannot be evaluated lets requests through (fail_open)"
        yield Finding("gate", "failing open", said)
    yield from _wrappers("openai", OPENAI)
    yield from _wrappers("livekit.agents", LIVEKIT, LIVEKIT.left_out)
    if "livekit.agents" in sys.modules:
        yield from _moved()


def _wrappers(module: str, patches: Patches, known: Sequence[str] = ()) -> Iterable[Finding]:
    """Where wrappers stand; *known* is told of by a finding of its own."""
    if module not in sys.modules:
        yield Finding("gate", module, "not imported here; it is wrapped when it is")
        return
    standing = {name: stands for name, stands in patches.in_force.items() if name not in known}
    absent = [name for name, stands in standing.items() if not stands]
    facts = {"wrapped": len(standing) - len(absent), "not_wrapped": absent}
    if absent:
        said = f"not wrapped: {', '.join(absent)}: this version differs, or somebody else unwrapped"
        yield Finding("gate", module, said, "failure", facts)
    else:
        yield Finding("gate", module, f"{len(standing)} functions are wrapped", facts=facts)


def _moved() -> Iterable[Finding]:
    """Features of LiveKit that are left out, as this version has other names than those we know."""
    for feature in FEATURES:
        if lacks := feature.lacks:
            said = f"{feature.without}; this version has no {', '.join(lacks)}"
            yield Finding("gate", feature.name, said, "warning", {"missing": list(lacks)})
