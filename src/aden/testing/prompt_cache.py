"""The local server's prompt cache."""

from __future__ import annotations

import hashlib
from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# https://platform.openai.com/docs/guides/prompt-caching: "1024 tokens or longer", steps of 128.
_CACHE_MINIMUM = 1024
_CACHE_STEP = 128


class PromptCache:
    """Remembers which prompt prefixes each model has seen, as OpenAI documents its own cache."""

    def __init__(self) -> None:
        self._seen: set[tuple[str, bytes]] = set()
        self._lock = Lock()

    def read(self, model: str, tokens: Sequence[str]) -> int:
        """Return how many leading *tokens* an earlier prompt of *model* had, then add this one.

        Returns:
            0, or at least 1,024 tokens in steps of 128.
        """
        prefixes = [(length, (model, digest)) for length, digest in _prefixes(tokens)]
        with self._lock:
            cached = max((length for length, key in prefixes if key in self._seen), default=0)
            self._seen.update(key for _, key in prefixes)
        return cached


def _prefixes(tokens: Sequence[str]) -> Iterable[tuple[int, bytes]]:
    """Yield (length in tokens, digest) of every prefix that can be cached."""
    digest = hashlib.blake2b()
    start = 0
    for end in range(_CACHE_MINIMUM, len(tokens) + 1, _CACHE_STEP):
        digest.update("\0".join(["", *tokens[start:end]]).encode("utf-8", "surrogatepass"))
        yield end, digest.digest()
        start = end
