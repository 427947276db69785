"""What a model costs, resolved once per (provider, model, tier), with where the price came from."""

from aden.pricing.book import PriceBook, price_book
from aden.pricing.override import Prices
from aden.pricing.price import Price, Rate, Tier

__all__ = ["Price", "PriceBook", "Prices", "Rate", "Tier", "price_book"]
