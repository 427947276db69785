"""What is said, once a model, where its price is not known."""

import json
import logging
import threading
from collections.abc import Callable
from decimal import Decimal

from aden.core.forks import see_through_forks
from aden.core.money import NANO
from aden.core.providers import provider_at
from aden.core.request import Request
from aden.pricing.price import PER, Price, Unit
from aden.pricing.rows import MILLION

logger = logging.getLogger("aden.pricing")

MAX_NAMED = 1000
"""Model names come from outside: after so many, no further one is named."""
MAX_SHOWN = 120


class UnknownPrices:
    """Names each model without a price once, and says how to give it one."""

    def __init__(self, meant: Callable[[str, str], str]) -> None:
        """*meant*: of a provider's model, `PriceBook.meant`."""
        self._meant = meant
        self._named: set[tuple[str, str, str | None]] = set()
        self.after_fork_in_child()
        see_through_forks(self)

    def after_fork_in_child(self) -> None:
        """A thread of the parent may have held the lock."""
        self._lock = threading.Lock()

    def no_price(self, request: Request, model: str, floor: Price) -> None:
        """Nobody knows what *model* costs; *floor* is what it counts at."""
        if not self._is_new(request, model):
            return
        logger.warning(
            "aden: no price is known for model %r of %s%s Budgets count it at the dearest rates "
            "known of %s, unless their unknown_price says otherwise.%s To price it, put this "
            "into the file that ADEN_PRICES names:\n\n%s",
            model[:MAX_SHOWN],
            _whose(request),
            self._meant(request.provider, model) or ".",
            request.provider,
            " What runs on a machine of yours is free." if is_own_host(request) else "",
            snippet(request, model, floor),
        )

    def other_unit(self, request: Request, model: str, price: Price) -> None:
        """A price is known, but not for what was counted."""
        if not self._is_new(request, model):
            return
        logger.warning(
            "aden: the price of model %r of %s is for %s, and only other units are known of a "
            "call; budgets count it at the dearest rates known for those. ADEN_PRICES can name a "
            "price for them.",
            model[:MAX_SHOWN],
            _whose(request),
            ", ".join(sorted(price.rates)),
        )

    def _is_new(self, request: Request, model: str) -> bool:
        key = (request.provider, model[: 2 * MAX_SHOWN], request.server_address)
        with self._lock:
            if key in self._named or len(self._named) > MAX_NAMED:
                return False
            self._named.add(key)
            is_named = len(self._named) <= MAX_NAMED
        if not is_named:
            logger.warning("aden: more models without a price follow, which are not named")
        return is_named


def snippet(request: Request, model: str, floor: Price) -> str:
    """A ``[[price]]`` table, ready to be copied; it changes nothing until it is edited."""
    if is_own_host(request):
        owner = f"host = {_quoted(host_of(request))}"
        rates = 'free = true  # or input_per_1m = "0.10" and output_per_1m = "0.40"'
    else:
        owner = f"provider = {_quoted(request.provider)}"
        rates = "\n".join(f'{unit}_per_1m = "{_per_million(floor, unit)}"' for unit in _SHOWN)
    return f"[[price]]\n{owner}\nmodel = {_quoted(model[:MAX_SHOWN])}\n{rates}\n"


_SHOWN: tuple[Unit, ...] = ("input", "output")


def _quoted(text: str) -> str:
    """A TOML string; JSON's differ only in how they write what is not ASCII, and DEL."""
    whole = text.encode("utf-8", "replace").decode()
    return json.dumps(whole, ensure_ascii=False).replace("\x7f", "\\u007f")


def _per_million(price: Price, unit: Unit) -> str:
    return f"{Decimal(price.rate(unit).nano) * MILLION / PER / NANO:f}"


def is_own_host(request: Request) -> bool:
    """Whether the request goes to a host of no provider that we know, as Ollama's or vLLM's."""
    return request.server_address is not None and provider_at(request.server_address) is None


def host_of(request: Request) -> str:
    """Host of the request, with the port where that is not the scheme's own."""
    address = request.server_address or ""
    port = f":{request.server_port}" if request.server_port else ""
    return f"[{address}]{port}" if ":" in address else f"{address}{port}"


def _whose(request: Request) -> str:
    if is_own_host(request):
        return f"{host_of(request)}, which is no host of a provider that Aden knows"
    return request.provider
