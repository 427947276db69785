"""Run every shape and write what happened to ``docs/shapes.md``: ``make shapes``."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "shapes.md"
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "openai")]

from shape_runs import DECIDED, KINDS, WAYS, decided, facts  # noqa: E402 - found by the line above

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

HEAD = """# Every way to make a call

`make shapes` wrote this page by running each line against the local server, sync and async,
once without Aden and once with it. Where the two clients differ, both are named.
`tests/openai` holds the same for Azure and the module-level client, to the nano-dollar.

- **as without**: type, value, exception and chain of exceptions, the stream's state
  afterwards, what a second iteration gives
- **calls, spans**: how many records and inference spans there are
- **tokens**: `exact` as the provider counted them; `estimated` where it told none, by what was
  seen, or could have been made until the program hung up; `none` where nothing was billed; else
  the unit of the price
- **charge**: Aden's, held against the server's own bill; `below` where the server noticed so
  late that nobody listens that it made a word or two more than the estimate allows
- **status**: of the span; its `error.type` where it failed; how the stream ended
"""
FACTS = ("as without", "calls", "spans", "tokens", "charge", "status")
DECISIONS = ("refused", "degraded", "throttled", "degrade refused")
MORE = """
## Under a decision

Refused by a budget, degraded to a cheaper model and throttled by a hook. `same value`: what a
program sees that asks for the model that was sent. In the last column the provider answers 400
and names the cheaper model.
"""


def names() -> tuple[list[str], list[str]]:
    """The lines of the two tables."""
    names = {way.shape: way.name for way in WAYS if way.shape is not None}
    return [way.name for way in WAYS], [names[shape] for shape in DECIDED]


def table(first: str, columns: Sequence[str], lines: Mapping[str, Sequence[str]]) -> str:
    """A table of Markdown."""
    rows = [(first, *columns), ("---",) * (len(columns) + 1)]
    rows += [(name, *cells) for name, cells in lines.items()]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows) + "\n"


def together(seen: Mapping[str, Sequence[str]]) -> list[str]:
    """What the clients came to; both where they differ."""
    cells = []
    for values in zip(*seen.values(), strict=True):
        apart = [f"{kind}: {value}" for kind, value in zip(seen, values, strict=True)]
        cells.append(values[0] if len(set(values)) == 1 else ", ".join(apart))
    return cells


async def page() -> str:
    """Run it all."""
    happened, obeyed = {}, {}
    for way in WAYS:
        runs = {kind: tuple(asdict(await facts(way, kind)).values()) for kind in way.kinds}
        happened[way.name] = together(runs)
    for name, shape in zip(names()[1], DECIDED, strict=True):
        kinds = KINDS[1:] if shape.only_async else KINDS
        decisions = {kind: await decided(shape, kind) for kind in kinds}
        obeyed[name] = together({kind: [d[n] for n in DECISIONS] for kind, d in decisions.items()})
    first = table("shape", FACTS, happened)
    return HEAD + "\n" + first + MORE + "\n" + table("shape", DECISIONS, obeyed)


if __name__ == "__main__":
    PAGE.write_text(asyncio.run(page()), encoding="utf-8")
