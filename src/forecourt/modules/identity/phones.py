"""Phone numbers: read, and brought into the one form in which two of them are the same."""

from __future__ import annotations

import phonenumbers
from phonenumbers import NumberParseException, PhoneNumberFormat, PhoneNumberType

from forecourt.kernel.errors import Invalid

NO_TEXTS = frozenset(
    {
        PhoneNumberType.PREMIUM_RATE,
        PhoneNumberType.SHARED_COST,
        PhoneNumberType.TOLL_FREE,
        PhoneNumberType.UAN,
        PhoneNumberType.PAGER,
        PhoneNumberType.VOICEMAIL,
    }
)
"""Numbers that take no texts, or charge whoever sends one."""


def read_number(text: str, path: str = "phone") -> str:
    """The number in E.164 (`+447700900123`) however its owner spaces it. Raises Invalid at `path`.

    The number must be possible in its country, not listed there: numbering plans change faster than any list, and whether
    somebody answers is seen when its owner confirms.
    """
    try:
        number = phonenumbers.parse(text.strip())
    except NumberParseException:
        raise Invalid.field(path, "write the number with + and the country code, such as +44 7700 900123") from None
    if number.extension or not phonenumbers.is_possible_number(number):
        raise Invalid.field(path, "is not a full phone number of its country, such as +44 7700 900123")
    if phonenumbers.number_type(number) in NO_TEXTS:
        raise Invalid.field(path, "this number cannot receive text messages; give a mobile number")
    return phonenumbers.format_number(number, PhoneNumberFormat.E164)


def shown(number: str) -> str:
    """`+44 7700 900123`, as people read it."""
    try:
        return phonenumbers.format_number(phonenumbers.parse(number), PhoneNumberFormat.INTERNATIONAL)
    except NumberParseException:
        return number
