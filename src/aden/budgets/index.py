"""Finds the few scopes that a request may be in among thousands. It only narrows the search."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Generic, TypeVar

from aden.budgets.scope import ANY, is_pattern, labels
from aden.core.attribution import Attribution
from aden.core.request import Request

Item = TypeVar("Item")
_Key = tuple[str, str | None]
"""A label and its value; None: the label has any value, or one that fits a pattern."""


class ScopeIndex(Generic[Item]):
    """Items under the rarest label of their scope, built once and never changed.

    `candidates` gives all items whose scope agrees with a request, in their order, and a few that
    do not; `aden.budgets.scope.agree` decides.
    """

    def __init__(
        self, items: Sequence[Item], scope_of: Callable[[Item], Mapping[str, object]]
    ) -> None:
        self._items = tuple(items)
        scopes = [_keys(scope_of(item)) for item in items]
        counts = Counter(key for scope in scopes for keys in scope for key in keys)
        always: list[int] = []
        filed: dict[_Key, list[int]] = {}
        for position, scope in enumerate(scopes):
            if not scope:
                always.append(position)
                continue
            for key in min(scope, key=lambda keys: sum(counts[key] for key in keys)):
                filed.setdefault(key, []).append(position)
        self._always = tuple(always)
        self._filed = {key: tuple(positions) for key, positions in filed.items()}
        self._names = tuple(dict.fromkeys(name for name, _ in filed))

    def candidates(self, request: Request, attribution: Attribution) -> Iterator[Item]:
        """What may agree with a request."""
        found = list(self._always)
        for name in self._names:
            values = labels(name, request, attribution)
            if values:
                found += self._filed.get((name, None), ())
            for value in values:
                found += self._filed.get((name, value), ())
        return map(self._items.__getitem__, sorted(set(found)))


def _keys(scope: Mapping[str, object]) -> list[tuple[_Key, ...]]:
    """Under what a scope may be filed: for each label, the keys that together cover it."""
    found: list[tuple[_Key, ...]] = []
    for name, wanted in scope.items():
        values = wanted if isinstance(wanted, tuple) else (wanted,)
        if wanted is ANY or any(is_pattern(name, value) for value in values):
            found.append(((name, None),))
        else:
            found.append(tuple((name, value) for value in dict.fromkeys(values)))
    return found
