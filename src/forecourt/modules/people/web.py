"""Pages: a person as others see them, and one's own profile."""

from __future__ import annotations

import re
from typing import Annotated, cast

import msgspec
from msgspec import UNSET, Meta

from forecourt.kernel.errors import FieldError, Invalid, Problem, TooLarge, UnsupportedMedia
from forecourt.kernel.http.operation import PERSON, PUBLIC, Api, By, Html, Limit, Redirect, SentFile, Visit, action, page
from forecourt.kernel.web.forms import NO_FAULTS, Faults, read
from forecourt.kernel.web.render import Language, Person, initials
from forecourt.kernel.web.surroundings import Surroundings
from forecourt.kernel.web.views import Choice
from forecourt.modules.media.contract import MAX_TAKEN_BYTES, Media, MediaQuotaFull, MediaTooLarge
from forecourt.modules.people.contract import Frequency, PlayedSport, PreferredTime, ProfileField, Visibility
from forecourt.modules.people.service import PeopleService, Profile, ProfilePatch

SPORTS = (
    "padel", "tennis", "badminton", "squash", "table_tennis", "football", "futsal", "basketball", "cricket",
    "gym", "fitness", "yoga", "boxing", "climbing", "swimming",
)  # fmt: skip
LANGUAGES = {
    "en": "English", "pt": "Português", "ur": "اردو", "pa": "پنجابی", "hi": "हिन्दी", "ar": "العربية",
    "es": "Español", "fr": "Français", "de": "Deutsch", "it": "Italiano",
}  # fmt: skip
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
SPORT_LINES = range(1, 7)

Typed = Annotated[str, Meta(max_length=2500)]
Short = Annotated[str, Meta(max_length=100)]

_INTERVAL = re.compile(r"\s*(\d{1,2}):?(\d\d)?\s*[-–—]\s*(\d{1,2}):?(\d\d)?\s*")


class ProfileForm(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What was typed. A line without a sport says nothing; a day's times read `18:00-21:00, 7-9`."""

    version: Short = ""
    name: Short = ""
    handle: Short = ""
    bio: Typed = ""
    city: Short = ""
    remove_photo: Short = ""
    languages: Annotated[list[Short], Meta(max_length=20)] = []
    sport_1: Short = ""
    level_1: Short = ""
    frequency_1: Short = ""
    sport_2: Short = ""
    level_2: Short = ""
    frequency_2: Short = ""
    sport_3: Short = ""
    level_3: Short = ""
    frequency_3: Short = ""
    sport_4: Short = ""
    level_4: Short = ""
    frequency_4: Short = ""
    sport_5: Short = ""
    level_5: Short = ""
    frequency_5: Short = ""
    sport_6: Short = ""
    level_6: Short = ""
    frequency_6: Short = ""
    mon: Short = ""
    tue: Short = ""
    wed: Short = ""
    thu: Short = ""
    fri: Short = ""
    sat: Short = ""
    sun: Short = ""
    see_bio: Short = ""
    see_photo: Short = ""
    see_city: Short = ""
    see_sports: Short = ""
    see_preferred_times: Short = ""
    see_languages: Short = ""

    @classmethod
    def of(cls, profile: Profile) -> ProfileForm:
        typed: dict[str, str] = {}
        for i, played in zip(SPORT_LINES, profile.sports, strict=False):
            typed[f"sport_{i}"] = played.sport
            typed[f"level_{i}"] = "" if played.level_tenths is None else f"{played.level_tenths / 10:.1f}"
            typed[f"frequency_{i}"] = played.frequency or ""
        for weekday, day in enumerate(DAYS):
            typed[day] = ", ".join(f"{t.start}-{t.end}" for t in profile.preferred_times if t.weekday == weekday)
        for field, audience in profile.visibility.items():
            typed[f"see_{field}"] = audience
        return cls(
            version=str(profile.version),
            name=profile.name,
            handle=profile.handle or "",
            bio=profile.bio,
            city=profile.city,
            languages=list(profile.languages),
            **typed,  # pyright: ignore[reportArgumentType]
        )

    def patch(self, beyond: list[PlayedSport]) -> ProfilePatch:
        """What the form asks for; sports `beyond` its lines stay. Raises Invalid at the form's own fields."""
        faults: list[FieldError] = []
        sports = [played for i in SPORT_LINES if (played := self._sport(i, faults)) is not None]
        times = [time for weekday in range(7) for time in self._times(weekday, faults)]
        audiences = {f.value: audience for f in ProfileField if (audience := getattr(self, f"see_{f}"))}
        faults += [FieldError(f"see_{f}", "is none of the choices") for f, who in audiences.items() if who not in set(Visibility)]
        if not self.name.strip():
            faults.append(FieldError("name", "is needed"))
        given = {
            "name": self.name,
            "handle": self.handle.strip().removeprefix("@"),
            "bio": self.bio.replace("\r\n", "\n").strip(),
            "city": self.city.strip(),
            "visibility": {field: who for field, who in audiences.items() if who in set(Visibility)},
        }
        try:
            patch = read(ProfilePatch, given)
        except Invalid as e:
            raise Invalid(errors=[*faults, *e.errors]) from None
        if faults:
            raise Invalid(errors=faults)
        return msgspec.structs.replace(
            patch,
            # What was emptied counts as absent where text is read.
            handle=None if patch.handle is UNSET else patch.handle,
            bio="" if patch.bio is UNSET else patch.bio,
            city="" if patch.city is UNSET else patch.city,
            sports=[*sports, *beyond],
            preferred_times=times,
            languages=[language for language in self.languages if language in LANGUAGES],
            photo_id=None if self.remove_photo else UNSET,
        )

    def _sport(self, i: int, faults: list[FieldError]) -> PlayedSport | None:
        sport, level, frequency = (str(getattr(self, f"{name}_{i}")).strip() for name in ("sport", "level", "frequency"))
        if not sport:
            return None
        tenths: int | None = None
        if level:
            try:
                tenths = round(float(level.replace(",", ".")) * 10)
            except (ValueError, OverflowError):
                tenths = -1
            if not 0 <= tenths <= 70:
                faults.append(FieldError(f"level_{i}", "is a number from 0 to 7, such as 3.5"))
                return None
        often = frequency if frequency in set(Frequency) else None
        return PlayedSport(sport, tenths, Frequency(often) if often else None)

    def _times(self, weekday: int, faults: list[FieldError]) -> list[PreferredTime]:
        day = DAYS[weekday]
        found: list[PreferredTime] = []
        for part in filter(str.strip, re.split(r"[,;،]", getattr(self, day))):
            match = _INTERVAL.fullmatch(part)
            if match is None or int(match[1]) > 23 or int(match[3]) > 24:
                faults.append(FieldError(day, "write it like 18:00-21:00, or 07:00-09:00, 18:00-21:00"))
                return []
            start, end = f"{int(match[1]):02d}:{match[2] or '00'}", f"{int(match[3]) % 24:02d}:{match[4] or '00'}"
            found.append(PreferredTime(weekday, start, end))
        return found


class PeoplePages(Api):
    tag = "Pages"

    def __init__(self, service: PeopleService, media: Media, pages: Surroundings) -> None:
        self._service = service
        self._media = media
        self._pages = pages

    @page("/people/{who}", access=PUBLIC)
    async def person(self, visit: Visit, who: str) -> Html:
        """A person, by id or @handle, as the visitor may see them."""
        shown = await self._service.look(visit.ctx, who)
        mine = visit.person is not None and visit.person.id == shown.id
        return self._pages.page(
            "people/person.html",
            visit,
            shown=shown,
            person=Person(str(shown.id), shown.name, initials(shown.name), ""),
            mine=mine,
            days=DAYS,
            times=_by_day(shown.preferred_times),
            languages=LANGUAGES,
        )

    @page("/account/profile", access=PERSON)
    async def profile(self, visit: Visit) -> Html:
        """What others see of oneself, to be edited."""
        return self._form(visit, await self._service.mine(visit.ctx))

    @action("/account/profile", limits=(Limit("30/minute", By.ACCOUNT),))
    async def edit(self, visit: Visit, form: ProfileForm, files: list[SentFile]) -> Html | Redirect:
        """Keeps the profile, and its photo when one came along."""
        before = await self._service.mine(visit.ctx)
        try:
            patch = form.patch(before.sports[len(SPORT_LINES) :])
            photo = next((file for file in files if file.field == "photo" and file.size), None)
            if photo is not None:
                if photo.size > MAX_TAKEN_BYTES:
                    raise Invalid.field("photo", f"is larger than {MAX_TAKEN_BYTES // 1024 // 1024} MB")
                card = await self._media.take(visit.ctx.within(None), photo.file.read(), photo.name, "")
                patch = msgspec.structs.replace(patch, photo_id=card.id)
            version = int(form.version) if form.version.isascii() and form.version.isdigit() else None
            await self._service.edit(visit.ctx, patch, version)
        except Problem as problem:
            at_photo = isinstance(problem, UnsupportedMedia | TooLarge | MediaTooLarge | MediaQuotaFull)
            if at_photo:
                problem = Invalid.field("photo", problem.detail or problem.title)
            return self._form(visit, before, form, self._pages.faults(visit, problem, {"photo_id": "photo"}))
        return Redirect("/account/profile", toast=self._say(visit, "people.saved"))

    def _form(self, visit: Visit, profile: Profile, form: ProfileForm | None = None, wrong: Faults = NO_FAULTS) -> Html:
        def say(key: str) -> str:
            return self._say(visit, key)

        form = form or ProfileForm.of(profile)
        chosen = [*profile.sports[: len(SPORT_LINES)]]
        known = [*SPORTS, *(p.sport for p in chosen if p.sport not in SPORTS)]
        return self._pages.page(
            "people/profile.html",
            visit,
            status=wrong.status,
            profile=profile,
            form=form,
            wrong=wrong,
            lines=list(SPORT_LINES),
            days=DAYS,
            sports=[Choice(label=say("people.no_sport")), *(Choice(label=say(f"sport.{name}"), value=name) for name in known)],
            frequencies=[
                Choice(label=say("people.frequency")),
                *(Choice(label=say(f"people.{often}"), value=often) for often in Frequency),
            ],
            audiences=[Choice(label=say(f"people.see_{audience}"), value=audience) for audience in Visibility],
            languages=LANGUAGES,
        )

    def _say(self, visit: Visit, key: str) -> str:
        return self._pages.pages.text(cast("Language", visit.locale), key)


def _by_day(times: list[PreferredTime] | None) -> dict[str, list[PreferredTime]]:
    return {day: found for i, day in enumerate(DAYS) if (found := [t for t in times or () if t.weekday == i])}
