"""Texts in the columns of a terminal, which an ideograph takes two of and an accent none."""

from itertools import accumulate
from unicodedata import category, east_asian_width


def one_line(text: str) -> str:
    """What somebody named or wrote: it is anybody's, and may try to write lines of its own."""
    return "".join(char if char.isprintable() else "�" for char in text)


def width(text: str) -> int:
    """The columns that a printable text takes."""
    return len(text) if text.isascii() else sum(map(_columns, text))


def beginning(text: str, most: int) -> str:
    """As much of a printable text as fits into *most* columns."""
    if width(text) <= most:
        return text
    return text[: sum(columns <= most for columns in accumulate(map(_columns, text)))]


def cut(text: str, most: int) -> str:
    """A text as a table shows it: in one line of *most* columns, its end left out beyond that."""
    text = one_line(text)
    return text if width(text) <= most else beginning(text, most - 1) + "…"


def padded(text: str, columns: int) -> str:
    """A printable text with spaces behind it, up to *columns*."""
    return text + " " * (columns - width(text))


def cell(text: str, columns: int) -> str:
    """A text in a column of a table."""
    return padded(cut(text, columns), columns)


def _columns(char: str) -> int:
    if category(char) in ("Mn", "Me"):
        return 0
    return 2 if east_asian_width(char) in ("W", "F") else 1
