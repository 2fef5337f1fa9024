"""How requests are shared out between the versions of a service: percentages, and the weights that HAProxy makes of them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from fractions import Fraction

GREATEST = 256
"""HAProxy's greatest weight."""
_WISH = re.compile(r"^(?P<version>[^=\s]+)=(?P<percent>[0-9]{1,3})%?$")


class WeightsWrong(ValueError):
    """Percentages that cannot be: the text says why, in plain words."""


def spread(shares: Mapping[str, int], servers: Mapping[str, int]) -> dict[str, int]:
    """The weight of each server of a version, so that the version as a whole gets its percent.

    `servers` says how many each version has. What has a share above nothing weighs at least 1.
    """
    exact = {version: Fraction(shares.get(version, 0), max(1, count)) for version, count in servers.items()}
    whole = math.lcm(*(f.denominator for f in exact.values()))
    scaled = {version: f * whole for version, f in exact.items()}
    common = math.gcd(*(int(f) for f in scaled.values())) or 1
    scaled = {version: f / common for version, f in scaled.items()}
    greatest = max(scaled.values(), default=Fraction(0))
    shrink = Fraction(GREATEST) / greatest if greatest > GREATEST else Fraction(1)
    return {version: max(1, round(f * shrink)) if f else 0 for version, f in scaled.items()}


def wished(wishes: Sequence[str], now: Mapping[str, int]) -> dict[str, int]:
    """Percentages after `v2=10%`: versions that are not named share the rest as they do `now`, or equally when they had nothing.

    Raises WeightsWrong.
    """
    named: dict[str, int] = {}
    for wish in wishes:
        found = _WISH.match(wish)
        if found is None:
            raise WeightsWrong(f"{wish!r} is not written like v2=10%")
        version, percent = found["version"], int(found["percent"])
        if version not in now:
            raise WeightsWrong(f"There is no version {version}. There {'is' if len(now) == 1 else 'are'} {', '.join(now)}")
        if version in named:
            raise WeightsWrong(f"{version} is named twice")
        named[version] = percent
    total = sum(named.values())
    others = [version for version in now if version not in named]
    if total > 100:
        raise WeightsWrong(f"That makes {total}%: percentages add up to 100")
    if not others and total != 100:
        raise WeightsWrong(f"That makes {total}% and no version is left to take the rest: percentages add up to 100")
    return {version: (named | _shared(100 - total, {v: now[v] for v in others}))[version] for version in now}


def _shared(rest: int, before: Mapping[str, int]) -> dict[str, int]:
    """`rest` in proportion to what was before, in whole percent; what rounding leaves goes to the greatest."""
    if not before:
        return {}
    parts = before if sum(before.values()) else dict.fromkeys(before, 1)
    whole = sum(parts.values())
    shared = {version: rest * part // whole for version, part in parts.items()}
    shared[max(parts, key=lambda version: parts[version])] += rest - sum(shared.values())
    return shared
