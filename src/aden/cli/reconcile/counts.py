"""What the provider or the journal counted."""

from dataclasses import dataclass, fields


@dataclass(slots=True)
class Counts:
    """What one side counted for a model and day."""

    requests: int = 0
    input: int = 0
    output: int = 0
    cost: int = 0
    """Nano-dollars; only our side knows it."""
    estimated: int = 0
    """Calls of ours without a usage from the provider."""

    def add(self, other: "Counts") -> None:
        """Count what the other counted as well."""
        for each in fields(self):
            setattr(self, each.name, getattr(self, each.name) + getattr(other, each.name))
