"""The weather of the demo world: it decides who plays outside, and who is sent home."""

from __future__ import annotations

from datetime import date

from forecourt.demo.ids import Fate

# Chance of a rainy day by month, January first.
RAIN = {
    "London": (0.37, 0.33, 0.31, 0.30, 0.28, 0.27, 0.25, 0.27, 0.28, 0.35, 0.38, 0.38),
    "Karachi": (0.02, 0.02, 0.02, 0.01, 0.01, 0.05, 0.18, 0.14, 0.05, 0.01, 0.01, 0.02),
    "Lahore": (0.09, 0.11, 0.11, 0.09, 0.08, 0.13, 0.32, 0.29, 0.14, 0.04, 0.03, 0.05),
    "Islamabad": (0.13, 0.16, 0.19, 0.15, 0.12, 0.15, 0.40, 0.38, 0.19, 0.08, 0.06, 0.09),
    "Lisboa": (0.34, 0.31, 0.27, 0.25, 0.17, 0.08, 0.03, 0.03, 0.10, 0.24, 0.32, 0.34),
}
# How much of the appetite for the open air the season leaves, apart from rain: heat there, cold here.
SEASON = {
    "London": (0.4, 0.45, 0.65, 0.85, 1.0, 1.1, 1.1, 1.05, 0.95, 0.75, 0.5, 0.4),
    "Karachi": (1.1, 1.1, 1.0, 0.9, 0.8, 0.75, 0.8, 0.85, 0.9, 0.95, 1.05, 1.1),
    "Lahore": (0.9, 1.05, 1.1, 1.0, 0.75, 0.65, 0.7, 0.75, 0.9, 1.05, 1.05, 0.9),
    "Islamabad": (0.75, 0.9, 1.05, 1.1, 0.95, 0.8, 0.8, 0.85, 1.0, 1.1, 0.95, 0.8),
    "Lisboa": (0.6, 0.65, 0.8, 0.95, 1.05, 1.15, 1.2, 1.25, 1.1, 0.9, 0.7, 0.6),
}
HOT_MONTHS = (5, 6, 7, 8)


class Weather:
    def __init__(self, fate: Fate) -> None:
        self._fate = fate
        self._known: dict[tuple[str, date], bool] = {}

    def rains(self, city: str, day: date) -> bool:
        key = (city, day)
        if key not in self._known:
            self._known[key] = self._fate.dice("rain", city, day.isoformat()).random() < RAIN[city][day.month - 1]
        return self._known[key]

    def appetite(self, city: str, day: date) -> float:
        """How many of an ordinary day's bookings the open air gets."""
        return SEASON[city][day.month - 1] * (0.3 if self.rains(city, day) else 1.0)

    def is_hot(self, city: str, day: date) -> bool:
        """Nobody plays outside before five."""
        return city in ("Karachi", "Lahore") and day.month in HOT_MONTHS
