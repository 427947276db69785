"""An export beside the journal: pure."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from aden.cli.reconcile.counts import Counts
from aden.cli.reconcile.export import Export, Key
from aden.core.record import CallRecord
from aden.core.request import task_of

_DATED = re.compile(r"-(\d{4}-\d{2}-\d{2}|\d{8})$")


@dataclass(slots=True)
class Drift:
    """Both sides of one model and day."""

    day: str
    model: str
    theirs: Counts = field(default_factory=Counts)
    ours: Counts = field(default_factory=Counts)

    @property
    def percent(self) -> float:
        """By how much our tokens differ from theirs; 100 where only one side has any.

        Input or output, whichever differs more: they have prices of their own, so too much of the
        one does not make up for too little of the other.
        """
        sides = ((self.theirs.input, self.ours.input), (self.theirs.output, self.ours.output))
        return max((_drift(theirs, ours) for theirs, ours in sides), key=abs)


def _drift(theirs: int, ours: int) -> float:
    if not theirs:
        return 100.0 if ours else 0.0
    return 100 * (ours - theirs) / theirs


def compare(export: Export, records: Iterable[CallRecord]) -> list[Drift]:
    """Both sides, a model and day, of the providers and the kind of models that the export is of.

    Those are the ones of which it names a model: OpenAI exports completions, embeddings and images
    each to a file of its own. Where it names none of ours, all are compared.
    """
    undated = {(day, _DATED.sub("", model)): model for day, model in export.counts}
    ours: dict[tuple[Key, str], Counts] = {}
    named: set[str] = set()
    kinds = {task_of(model) for _, model in export.counts}
    for record in records:
        day = datetime.fromtimestamp(record.at, UTC).date().isoformat()
        if not export.first <= day <= export.last or not record.attempts:
            continue
        key = day, _their_model(record, day, export.counts, undated)
        if key in export.counts:
            named.add(record.provider)
        _add(ours.setdefault((key, record.provider), Counts()), record)
    drifts = {key: Drift(*key, counts) for key, counts in export.counts.items()}
    for (key, provider), counts in ours.items():
        is_speech = not counts.input + counts.output and key not in drifts
        is_of_it = not named or (provider in named and task_of(key[1]) in kinds)
        if is_of_it and not is_speech:
            drifts.setdefault(key, Drift(*key)).ours.add(counts)
    return [drifts[key] for key in sorted(drifts)]


def _their_model(
    record: CallRecord, day: str, counts: Mapping[Key, Counts], undated: Mapping[Key, str]
) -> str:
    """The name under which the export has this call: as answered, as sent, or without its date."""
    names = [name for name in (record.response_model, record.model) if name]
    for name in (*names, *(_DATED.sub("", name) for name in names)):
        if (day, name) in counts:
            return name
    return next((undated[day, name] for name in names if (day, name) in undated), names[0])


def _add(ours: Counts, record: CallRecord) -> None:
    ours.requests += record.attempts
    ours.input += record.usage.input_tokens or 0
    ours.output += record.usage.output_tokens or 0
    ours.cost += record.cost
    ours.estimated += record.usage.estimated
