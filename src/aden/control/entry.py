"""One object of a document from outside: its fields, each checked, each known by its path."""

from collections.abc import Callable
from typing import TypeVar

from aden.errors import ConfigurationError, did_you_mean

T = TypeVar("T")
MAX_TEXTS = 1_000
"""Texts in one list."""
MAX_TEXT = 1_000
"""Characters in one text."""


class Entry:
    """An object of a document. Where a field is null it counts as absent.

    A field may have older names: the first that is there is read. Raises `ConfigurationError`
    with the field's path, its value and what is allowed.
    """

    def __init__(self, value: object, path: str) -> None:
        if not isinstance(value, dict):
            raise ConfigurationError(path, _short(value), "an object")
        self._fields: dict[str, object] = value
        self.path = path

    def text(self, *names: str) -> str | None:
        """A text; None where it is absent or empty."""
        name, value = self._first(names)
        if value is None:
            return None
        if not isinstance(value, str) or len(value) > MAX_TEXT:
            raise self._wrong(name, _short(value), f"a text of up to {MAX_TEXT} characters")
        return value or None

    def required(self, *names: str) -> str:
        """A text that has to be there."""
        value = self.text(*names)
        if value is None:
            raise self._wrong(names[0], None, "a text")
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of texts, at least one."""
        value = self._fields.get(name)
        good = isinstance(value, list) and 0 < len(value) <= MAX_TEXTS
        texts = value if isinstance(value, list) and good else []
        if not good or not all(
            isinstance(text, str) and 0 < len(text) <= MAX_TEXT for text in texts
        ):
            raise self._wrong(name, _short(value), "a list of texts, at least one")
        return tuple(texts)

    def word(self, allowed: tuple[str, ...], *names: str) -> str | None:
        """One of a few words; None where it is absent."""
        name, value = self._first(names)
        if value is not None and value not in allowed:
            wanted = " | ".join(allowed) + did_you_mean(value, allowed)
            raise self._wrong(name, _short(value), wanted)
        return value if isinstance(value, str) else None

    def required_word(self, allowed: tuple[str, ...], *names: str) -> str:
        """One of a few words that has to be there."""
        word = self.word(allowed, *names)
        if word is None:
            raise self._wrong(names[0], None, " | ".join(allowed))
        return word

    def number(self, name: str) -> float:
        """A number that has to be there."""
        value = self._fields.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self._wrong(name, _short(value), "a number")
        return value

    def whole(self, *names: str) -> int | None:
        """A whole number, also written as 60.0; None where it is absent."""
        name, value = self._first(names)
        if value is None:
            return None
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise self._wrong(name, _short(value), "a whole number")
        return value

    def amount(self, *names: str) -> str | int | float | None:
        """An amount of money as it was typed; what it may be, `parse_usd` knows."""
        name, value = self._first(names)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise self._wrong(name, _short(value), "an amount in US dollars")
        return value

    def flag(self, name: str, *, default: bool) -> bool:
        """True or false."""
        value = self._fields.get(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise self._wrong(name, _short(value), "true | false")
        return value

    def entries(self, name: str, most: int = 1_000) -> list["Entry"]:
        """A list of objects; empty where it is absent."""
        value = self._fields.get(name)
        path = f"{self.path}.{name}"
        if value is None:
            return []
        if not isinstance(value, list) or len(value) > most:
            raise ConfigurationError(path, _short(value), f"a list of up to {most} objects")
        return [Entry(each, f"{path}[{index}]") for index, each in enumerate(value)]

    def _wrong(self, name: str, value: object, allowed: str) -> ConfigurationError:
        return ConfigurationError(f"{self.path}.{name}", value, allowed)

    def _first(self, names: tuple[str, ...]) -> tuple[str, object]:
        for name in names:
            if (value := self._fields.get(name)) is not None:
                return name, value
        return names[0], None


def located(entry: Entry, read: Callable[[Entry], T]) -> T:
    """What *read* makes of an entry; an error says where in the document it is.

    Raises:
        ConfigurationError: Of *read*, its setting a path such as ``policy.budgets[2].limit``.
    """
    try:
        return read(entry)
    except ConfigurationError as error:
        inside = error.setting.startswith(entry.path)
        between = "." if error.setting.isidentifier() else ": "
        setting = error.setting if inside else f"{entry.path}{between}{error.setting}"
        raise ConfigurationError(setting, error.value, error.allowed) from None


def _short(value: object) -> object:
    """A value from outside, short enough for a message."""
    text = repr(value)[:200] if isinstance(value, dict | list | str) else ""
    return value if len(text) < 200 else f"{text[:60]}…"
