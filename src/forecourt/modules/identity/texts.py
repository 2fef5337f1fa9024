"""The text messages that identity sends, in the languages of the pages. The code comes first, where a lock screen shows it."""

from __future__ import annotations

from uuid import UUID

from forecourt.kernel.ids import new_id
from forecourt.modules.notifications.contract import Text

PHONE_CODE = {
    "en": "{code} is your Forecourt code, good for 10 minutes. If you did not ask for it, leave it alone.",
    "pt": "{code} é o seu código Forecourt, válido por 10 minutos. Se não o pediu, ignore-o.",
    "ur": "{code} آپ کا Forecourt کوڈ ہے، 10 منٹ تک کارآمد۔ اگر آپ نے نہیں مانگا تو اسے نظرانداز کریں۔",
}


def phone_code(account_id: UUID, to: str, code: str, language: str) -> Text:
    """English for a language that the pages do not speak."""
    return Text(new_id(), to, PHONE_CODE.get(language, PHONE_CODE["en"]).replace("{code}", code), account_id)
