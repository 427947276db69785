"""Values that are made by the dozen for each call."""

from dataclasses import dataclass, field
from typing import TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def value(cls: type[T]) -> type[T]:
    """A frozen dataclass as far as the type checker sees; at run time nothing guards its fields.

    The guard of ``dataclass(frozen=True)`` makes each field cost three times as much to set, which
    was a sixth of all that a call cost. For what is made for each call: its record and usage, which
    emitters receive, among them. What users make themselves is guarded.
    """
    return dataclass(slots=True, unsafe_hash=True)(cls)
