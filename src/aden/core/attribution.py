"""Who is asking: the labels by which budgets match and spend is shown."""

from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, fields
from typing import Any

from aden.core.block import Block


@dataclass(frozen=True, slots=True)
class Attribution:
    """On whose account a request is made. A field is None where nobody said.

    Labels are texts, by which budgets and the journal tell them apart: an id of another type (a
    number, a UUID, an Enum of texts) stands for its text.
    """

    agent: str | None = None
    tenant_id: str | None = None
    customer_id: str | None = None
    feature: str | None = None
    session_id: str | None = None
    user_id: str | None = None
    context_id: str | None = None
    room_id: str | None = None
    """A LiveKit job's room."""
    participant_id: str | None = None
    """Whom the agent speaks with, by a digest of the identity, which may be a telephone number."""
    tags: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in FIELDS:
            label = getattr(self, name)
            if label is not None and type(label) is not str:
                object.__setattr__(self, name, _as_text(label))
        if self.tags:
            tags = (self.tags,) if isinstance(self.tags, str) else self.tags
            object.__setattr__(self, "tags", tuple(_as_text(tag) for tag in tags))

    def over(self, other: "Attribution") -> "Attribution":
        """This attribution, its gaps filled from *other*; tags of both."""
        if self is NOBODY:
            return other
        if other is NOBODY:
            return self
        merged = {
            name: mine if (mine := getattr(self, name)) is not None else getattr(other, name)
            for name in FIELDS
        }
        return Attribution(**merged, tags=tuple(dict.fromkeys((*self.tags, *other.tags))))

    def as_dict(self) -> dict[str, str | list[str]]:
        """The fields that are set."""
        if self is NOBODY:
            return {}
        labels: dict[str, str | list[str]] = {
            name: value for name in FIELDS if (value := getattr(self, name)) is not None
        }
        if self.tags:
            labels["tags"] = list(self.tags)
        return labels


def _as_text(label: object) -> str:
    """A label's text; of an Enum of texts that is its value."""
    return str.__str__(label) if isinstance(label, str) else str(label)


FIELDS = tuple(field.name for field in fields(Attribution) if field.name != "tags")
NOBODY = Attribution()
_current: ContextVar[Attribution] = ContextVar("aden_attribution", default=NOBODY)


def current_attribution() -> Attribution:
    """What the enclosing `attribution` blocks say."""
    return _current.get()


def attribution(
    *,
    agent: str | None = None,
    tenant_id: str | None = None,
    customer_id: str | None = None,
    feature: str | None = None,
    session_id: str | None = None,
    user_id: str | None = None,
    context_id: str | None = None,
    tags: Sequence[str] = (),
) -> Block[Attribution]:
    """Attribute every request made inside the block; inner blocks add to and override outer ones.

    It decorates functions as well, sync and async.

    Example:
        ``with aden.attribution(customer_id="acme", tags=["trial"]): …``
    """
    labels = (tags,) if isinstance(tags, str) else tuple(tags)
    inner = Attribution(
        agent, tenant_id, customer_id, feature, session_id, user_id, context_id, tags=labels
    )
    return Block(_current, inner.over)


def from_metadata(metadata: Mapping[str, object]) -> Attribution:
    """Read the attribution that existing Aden users write into a request's own metadata."""
    if not metadata:
        return NOBODY
    labels: dict[str, Any] = {
        name: value for name in FIELDS if _is_label(value := metadata.get(name))
    }
    tags = metadata.get("tags")
    if isinstance(tags, str):
        tags = [tag.strip() for tag in tags.split(",")]
    if not isinstance(tags, list | tuple):
        tags = ()
    return Attribution(**labels, tags=tuple(tag for tag in tags if _is_label(tag)))


def _is_label(value: object) -> bool:
    """A text, or a number as JSON has ids; other values say something else."""
    if isinstance(value, str):
        return bool(value)
    return type(value) is int and abs(value) < 1 << 64  # beyond some size Python writes no number
