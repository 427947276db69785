"""Prices by name: a user's own, then the speech table, then genai-prices; looked up, then kept."""

import functools
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

from aden.core.request import Request, reasons
from aden.core.usage import Usage
from aden.errors import ConfigurationError, did_you_mean
from aden.pricing import genai
from aden.pricing.names import Spelling, provider_id, spellings
from aden.pricing.price import Price, Rate, Unit, nano_per
from aden.pricing.rows import TIERS, Row
from aden.pricing.table import bridges, price_of_row, speech_table
from aden.pricing.unknown import UnknownPrices, host_of
from aden.pricing.user_prices import UserPrices, load_prices

MAX_REMEMBERED = 10_000
MAX_PROVIDERS = 256
MAX_NAME = 512
"""No model has a longer name; one that does has no price."""
MEANT, LIKENESS = 3, 0.8
"""How many models are named for one without a price, and how close their names have to be."""
LOOK_AGAIN_S = 3600.0
"""Some prices change with the date and the hour, so what was found is not kept for ever."""

NO_PRICES = UserPrices()
_FLOOR_UNITS: Mapping[Unit, tuple[Unit, ...]] = {
    "input": ("input",),
    "output": ("output",),
    "speech": ("speech", "speech_input", "speech_output"),
    "session": ("session",),
    "characters": ("characters",),
    "web_searches": ("web_searches",),
    "file_searches": ("file_searches",),
}
_SEARCHES: tuple[Unit, ...] = ("web_searches", "file_searches")
_PREVIEW_SEARCH = Rate(nano_per(Decimal(25), 1000))
"""OpenAI's, of models that do not reason; of others it is as dear as any search
(https://developers.openai.com/api/docs/pricing, built-in tools)."""
_DEAREST_IMAGE = Rate(nano_per(Decimal("0.25"), 1))
"""gpt-image-1 in high quality: 6,240 output tokens at $40 a million
(https://developers.openai.com/api/docs/guides/image-generation)."""


def price_book(path: str | None, setting: str = "ADEN_PRICES") -> "PriceBook":
    """The book with the user's file of prices on top, where *setting* names one.

    Raises:
        ConfigurationError: The file is not valid, or a price in it is none.
    """
    return PriceBook(load_prices(Path(path), setting)) if path else PriceBook()


class PriceBook:
    """Looks up prices and remembers what it found, also that there was nothing."""

    def __init__(self, user: UserPrices = NO_PRICES) -> None:
        """*user* stands above every other table.

        Raises:
            ConfigurationError: A row of it is priced like a model that has no price, or without the
                output of a model that writes, or a factor is for a provider without any.
        """
        self._user = user
        self._has_hosts = any(row.host for row in user.table.rows.values())
        self._known: dict[tuple[str, str, str | None, str | None], Price | None] = {}
        self._floors: dict[str, Price] = {}
        self._kept_until = time.monotonic() + LOOK_AGAIN_S
        self._unknown = UnknownPrices(self.meant)
        for name in user.by_provider:
            if not self.is_provider(name):
                allowed = f"one with prices, such as openai{did_you_mean(name, self.providers())}"
                raise ConfigurationError("ADEN_PRICES: provider", name, allowed)
        for row in user.table.rows.values():
            if row.same_as is not None and self._alias(row, row.same_as, row.tier) is None:
                name = f"ADEN_PRICES: same_as of {row.model}"
                allowed = "a model whose price is known, such as openai/gpt-4o"
                raise ConfigurationError(name, row.same_as, allowed)
            if self._forgets_output(row):
                name = f"ADEN_PRICES: output_per_1m of {row.model}"
                raise ConfigurationError(name, None, "a rate, '0' where output is free")

    def price(
        self,
        request: Request,
        model: str,
        usage: Usage | None = None,
        tier: str | None = None,
        *,
        told: bool = False,
    ) -> Price:
        """What a request to *model* costs, for the units in which *usage* is known.

        Its source is ``bridge`` where other units than the provider's have to do, and ``floor``
        where nobody knows a price: then it is the provider's dearest known rates. So it is for an
        endpoint that nobody has listed, until the provider has *told* a usage.
        """
        host = host_of(request) if self._has_hosts and request.server_address else None
        known = self.find(request.provider, model, tier or request.service_tier, host)
        if request.unlisted and not told and (known is None or known.source != "user"):
            return self.floor(request.provider)
        if known is None:
            floor = self.floor(request.provider)
            self._unknown.no_price(request, model, floor)
            return floor
        if usage is None:
            return known
        if (fitting := known.fitting(usage)) is None:
            self._unknown.other_unit(request, model, known)
            return self.floor(request.provider)
        if usage.web_searches or usage.file_searches:
            return self._with_searches(fitting, request, model)
        return fitting

    def _with_searches(self, price: Price, request: Request, model: str) -> Price:
        """Where a listed model has no rate for what it has searched, the provider's dearest."""
        if price.source == "user":
            return price
        dearest = self.floor(request.provider).rates
        more: dict[Unit, Rate] = {
            unit: dearest[unit] for unit in _SEARCHES if unit in dearest and unit not in price.rates
        }
        if request.preview_search and not reasons(model):
            factor = self._factor(provider_id(request.provider))
            more["web_searches"] = _PREVIEW_SEARCH.times(factor)
        return replace(price, rates={**price.rates, **more}) if more else price

    def find(
        self, provider: str, model: str, tier: str | None = None, host: str | None = None
    ) -> Price | None:
        """The price of a model, or None where nobody knows it.

        Args:
            provider: By the OpenTelemetry conventions, or as LiveKit shows it.
            model: As the caller asked for it.
            tier: The provider's service tier; those without rates of their own are the standard.
            host: Host and port of the base URL, for a user's prices of his own machines.
        """
        key = (provider, model, tier if tier in TIERS else None, host)
        if time.monotonic() > self._kept_until:
            self._known.clear()
            self._kept_until = time.monotonic() + LOOK_AGAIN_S
        try:
            return self._known[key]
        except KeyError:
            found = self._find(*key) if 0 < len(model) <= MAX_NAME else None
            if len(self._known) > MAX_REMEMBERED:
                self._known.clear()
            self._known[key] = found
            return found

    def providers(self) -> tuple[str, ...]:
        """Every provider with a price."""
        return tuple(sorted(self._providers()))

    def is_provider(self, name: str) -> bool:
        """Whether it has a price under this name, which may be that of OpenTelemetry."""
        return provider_id(name) in self._providers()

    def providers_first(self, *first: str) -> tuple[str, ...]:
        """Every provider with a price, these ones first."""
        return tuple(dict.fromkeys((*first, "unknown", *self.providers())))

    def floor(self, provider: str) -> Price:
        """The dearest known rates of a provider: what an unknown model is taken to cost at least.

        Of all providers, where the provider itself is unknown or bills in other units.
        """
        name = provider_id(provider)
        if name not in self._floors:
            factor = self._factor(name)
            rates: dict[Unit, Rate] = {"images": _DEAREST_IMAGE.times(factor)}
            for owner in (None, name):
                rates |= self._dearest(owner, factor)
            self._floors[name] = Price(rates, "floor")
        return self._floors[name]

    def load(self) -> None:
        """Read the tables now, which takes a tenth of a second, and not in the first request."""
        self.find("openai", "gpt-4o")
        self.floor("unknown")

    def knows(self, model: str) -> bool:
        """Whether any provider, or any host of the user's, has a price for a model."""
        rows = self._user.table.rows.values()
        if any(row.host and row.model in (model.lower(), "*") for row in rows):
            return True
        return any(self.find(each, model) is not None for each in self.providers_first())

    def meant(self, provider: str | None, model: str) -> str:
        """``; did you mean X, Y or Z?`` for a model without a price; empty where none is close.

        Among the models of *provider*; of all, where it is None or unknown.
        """
        name = None if provider in (None, "unknown") else provider_id(str(provider))
        owners = self.providers() if name is None else (name,)
        rows = (*speech_table().of(name), *self._user.table.of(name))
        known = [*(each for owner in owners for each in genai.names(owner))]
        known += [row.model for row in rows if row.model not in ("*", "unknown")]
        asked = model[:MAX_NAME].lower()
        fitting = [each for each in known if each.startswith("ft:") == asked.startswith("ft:")]
        return did_you_mean(asked, dict.fromkeys(fitting), most=MEANT, likeness=LIKENESS)

    def _dearest(self, provider: str | None, factor: Decimal) -> Mapping[Unit, Rate]:
        """The dearest rates of the tables times the user's *factor*, and of the user's own rows."""
        listed = {unit: rate.times(factor) for unit, rate in _dearest_listed(provider).items()}
        users = (row.rates or {} for row in self._user.table.of(provider))
        return _dearest((listed, *users))

    def _factor(self, provider: str) -> Decimal:
        factor = self._user.factor(provider)
        return Decimal(1) if factor is None else factor

    def _find(self, provider: str, model: str, tier: str | None, host: str | None) -> Price | None:
        name = provider_id(provider)
        tried = tuple(spellings(name, model, self._providers()))
        for row, spelling in self._user_rows(name, tried, tier, host):
            return self._from_user(row, spelling, tried, tier)
        listed = _listed(tried, tier)
        factor = self._user.factor(name)
        return listed.times(factor) if listed and factor is not None else listed

    def _user_rows(
        self, provider: str, tried: tuple[Spelling, ...], tier: str | None, host: str | None
    ) -> Iterator[tuple[Row, Spelling]]:
        """The rows of a user that match: of the host before the provider, named before ``*``."""
        table = self._user.table
        owners = () if host is None else (host.lower(), host.lower().rpartition(":")[0])
        for owner in owners:
            for each in (*tried, Spelling(owner, "*", "any model")):
                if row := table.row(owner, each.model, tier):
                    yield row, each
        for each in (*tried, Spelling(provider, "*", "any model")):
            if row := table.row(each.provider, each.model, tier):
                yield row, each

    def _from_user(
        self, row: Row, spelling: Spelling, tried: tuple[Spelling, ...], tier: str | None
    ) -> Price | None:
        if row.same_as is not None:
            return self._alias(row, row.same_as, tier)
        listed = _listed(tried, tier)
        if row.rates is not None:
            window = listed.context_tokens if listed else None
            return replace(price_of_row(row, "user", spelling, tier), context_tokens=window)
        return listed.times(row.multiplier) if listed and row.multiplier is not None else listed

    def _alias(self, row: Row, same_as: str, tier: str | None) -> Price | None:
        """What the model that a row names costs, with the row's factor."""
        provider = row.provider or "openai"
        tried = tuple(spellings(provider, same_as, self._providers()))
        rows = self._user_rows(provider, tried, tier, None)
        own = next((found for found in rows if found[0].same_as is None), None)
        factor = row.multiplier
        if own is not None:
            price = self._from_user(*own, tried, tier)
        else:
            price = _listed(tried, tier)
            factor = self._user.factor(provider) if factor is None else factor
        if price is None:
            return None
        origin = replace(price.origin, matched=f"alias of {row.model}")
        price = replace(price, origin=origin)
        return price if factor is None else price.times(factor)

    def _forgets_output(self, row: Row) -> bool:
        """Whether it prices the input alone of a model whose output is known to cost something."""
        rates = row.rates or {}
        if row.provider is None or "input" not in rates or "output" in rates:
            return False
        tried = tuple(spellings(row.provider, row.model, self._providers()))
        listed = _listed(tried, row.tier)
        return listed is not None and bool(listed.rate("output").nano)

    def _providers(self) -> frozenset[str]:
        rows = (*speech_table().rows.values(), *self._user.table.rows.values())
        return genai.providers() | {row.provider for row in rows if row.provider}


def _listed(tried: Iterable[Spelling], tier: str | None) -> Price | None:
    """The price by the speech table, else by genai-prices."""
    tried = tuple(tried)
    for each in tried:
        if row := speech_table().row(each.provider, each.model, tier):
            found = (genai.find(name, tier) for name in tried)
            window = next((price.context_tokens for price in found if price), None)
            return replace(price_of_row(row, "overlay", each, tier), context_tokens=window)
    for each in tried:
        if price := genai.find(each, tier):
            over = bridges().get((each.provider, each.model), ())
            return replace(price, bridges=tuple(bridge.over(price) for bridge in over))
    return None


@functools.lru_cache(maxsize=MAX_PROVIDERS)
def _dearest_listed(provider: str | None) -> Mapping[Unit, Rate]:
    """The dearest rates of a provider, or of all, in the tables that come with Aden.

    Kept for the process: reading all of them takes 20 to 50 ms.
    """
    kinds = [kind for kinds in _FLOOR_UNITS.values() for kind in kinds]
    speech = (row.rates or {} for row in speech_table().of(provider))
    return _dearest((*genai.all_rates(provider, kinds), *speech))


def _dearest(models: Iterable[Mapping[Unit, Rate]]) -> dict[Unit, Rate]:
    dearest: dict[Unit, int] = {}
    for rates in models:
        for unit, kinds in _FLOOR_UNITS.items():
            for kind in kinds:
                if rate := rates.get(kind):
                    top = max((rate.nano, *(tier.nano for tier in rate.tiers)))
                    dearest[unit] = max(dearest.get(unit, 0), top)
    return {unit: Rate(nano) for unit, nano in dearest.items() if nano}
