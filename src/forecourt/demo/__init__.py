"""The demo world: gyms in London, padel clubs in Pakistan, a hotel in Lisbon, and a year of what people did there.

    if not await begun(admin_url):
        made = await fill(admin_url, seed=7, scale=0, report=unheard)

The same seed on the same day makes the same world. It is written with COPY as the owner of the schema, reference data first
in one quick transaction and then a year of bookings in short ones, so that the house may already be open.
"""

from __future__ import annotations

from forecourt.demo.cast import LOG_INS, PASSWORD, LogIn
from forecourt.demo.fill import HouseInUse, Made, begun, fill
from forecourt.demo.show import Report, unheard

__all__ = ["LOG_INS", "PASSWORD", "HouseInUse", "LogIn", "Made", "Report", "begun", "fill", "unheard"]
