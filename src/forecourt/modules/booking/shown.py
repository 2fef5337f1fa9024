"""The prices that a page showed, sent along with its form, so that nobody pays more than they read.

A hidden field per choice of the form: `90:3000:GBP` says that 90 (minutes, or people) cost 3000 minor units of GBP in all.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from msgspec import Meta

from forecourt.kernel.money import Money

ShownPrices = Annotated[list[Annotated[str, Meta(pattern=r"^[0-9]{1,5}:[0-9]{1,13}:[A-Z]{3}\Z")]], Meta(max_length=200)]


def field_of(choice: int, price: Money) -> str:
    return f"{choice}:{price.amount}:{price.currency}"


def price_shown(prices: Iterable[str], choice: int) -> Money | None:
    """What the page said that this choice costs; None when it said nothing about it."""
    for price in prices:
        about, amount, currency = price.split(":")
        if int(about) == choice:
            return Money(int(amount), currency)
    return None
