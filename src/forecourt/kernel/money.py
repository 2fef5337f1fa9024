"""Money: integer minor units with a currency. There is no float anywhere near it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Annotated

import msgspec

MAX_MINOR = 10**12
"""No single amount in the system is larger (ten thousand million of a two-decimal currency)."""

Currency = Annotated[str, msgspec.Meta(pattern=r"^[A-Z]{3}\Z", description="ISO 4217 code")]
Minor = Annotated[int, msgspec.Meta(ge=-MAX_MINOR, le=MAX_MINOR, description="Integer minor units: 1250 is 12.50 in GBP")]


class CurrencyMismatch(ValueError):
    """Two amounts of different currencies met in one sum. A programming error, never an input error."""


class Money(msgspec.Struct, frozen=True, forbid_unknown_fields=True, order=False):
    """An amount of `currency` in minor units (pence, cents, paisa)."""

    amount: Minor
    currency: Currency

    @classmethod
    def zero(cls, currency: str) -> Money:
        return cls(0, currency)

    @classmethod
    def total(cls, parts: Iterable[Money], currency: str) -> Money:
        """The sum of `parts`; zero of `currency` when there are none. Raises CurrencyMismatch."""
        result = cls.zero(currency)
        for part in parts:
            result = result + part
        return result

    def _same(self, other: Money) -> None:
        if self.currency != other.currency:
            raise CurrencyMismatch(f"{self.currency} and {other.currency}")

    def __add__(self, other: Money) -> Money:
        self._same(other)
        return Money(self.amount + other.amount, self.currency)

    def __sub__(self, other: Money) -> Money:
        self._same(other)
        return Money(self.amount - other.amount, self.currency)

    def __neg__(self) -> Money:
        return Money(-self.amount, self.currency)

    def __bool__(self) -> bool:
        return self.amount != 0

    def __lt__(self, other: Money) -> bool:
        self._same(other)
        return self.amount < other.amount

    def __le__(self, other: Money) -> bool:
        self._same(other)
        return self.amount <= other.amount

    def times(self, factor: Decimal | int, per: int = 1) -> Money:
        """`amount × factor ÷ per`, rounded half to even to the minor unit."""
        exact = Decimal(self.amount) * Decimal(factor) / Decimal(per)
        return Money(int(exact.quantize(Decimal(1), rounding=ROUND_HALF_EVEN)), self.currency)

    def percent(self, pct: int) -> Money:
        """`pct` percent, rounded half to even."""
        return self.times(pct, 100)

    def split(self, weights: Sequence[int]) -> list[Money]:
        """Parts in proportion to `weights`; they add up to the whole exactly (largest remainder, first wins ties).

        Raises ValueError when no weight is positive or one is negative.
        """
        whole = sum(weights)
        if whole <= 0 or min(weights) < 0:
            raise ValueError("weights are zero or more, and one is positive")
        sign = -1 if self.amount < 0 else 1
        size = abs(self.amount)
        shares = [size * w // whole for w in weights]
        by_remainder = sorted(range(len(weights)), key=lambda i: (-(size * weights[i] % whole), i))
        for i in by_remainder[: size - sum(shares)]:
            shares[i] += 1
        return [Money(sign * s, self.currency) for s in shares]
