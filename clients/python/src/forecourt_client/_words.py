"""Closed sets of words that may grow: a later version of the house may know more of them than this client."""

from __future__ import annotations

from enum import StrEnum


class Word(StrEnum):
    """A word of the house. One that this version does not know is kept as it is, so that an answer with it can still be read."""

    @classmethod
    def _missing_(cls, value: object) -> Word | None:
        if not isinstance(value, str):
            return None
        unknown = str.__new__(cls, value)
        unknown._name_ = value
        unknown._value_ = value
        return unknown
