"""The pages of an account: signing in and up, proving the address, a new password, and what one sees of oneself."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal, Protocol
from urllib.parse import quote
from uuid import UUID

import msgspec
from msgspec import Meta

from forecourt.kernel.clock import Clock
from forecourt.kernel.errors import Invalid, NotFound, Problem
from forecourt.kernel.http.dispatch import LOCALE_COOKIE, SESSION_COOKIE, THEME_COOKIE, set_cookie
from forecourt.kernel.http.operation import PERSON, PUBLIC, Api, By, Html, Limit, Redirect, Request, Visit, action, page
from forecourt.kernel.web.addresses import inside
from forecourt.kernel.web.forms import FORM, NO_FAULTS, Faults
from forecourt.kernel.web.surroundings import Surroundings
from forecourt.kernel.web.views import Choice
from forecourt.modules.booking.contract import Proposal, Proposals
from forecourt.modules.identity.contract import BadCredentials, CodeWrong, EmailTaken, LinkInvalid, PhoneTaken
from forecourt.modules.identity.http import SessionView, session_view
from forecourt.modules.identity.jobs import Wish
from forecourt.modules.identity.phones import shown
from forecourt.modules.identity.queries.accounts import SecurityRow
from forecourt.modules.identity.queries.phones import NumberRow
from forecourt.modules.identity.rules import BROWSER_TTL
from forecourt.modules.identity.service import IdentityService
from forecourt.modules.identity.service.accounts import NewAccount
from forecourt.modules.identity.service.sessions import SessionKind
from forecourt.modules.people.contract import People

Typed = Annotated[str, Meta(max_length=300)]
Secret = Annotated[str, Meta(max_length=200)]
Path = Annotated[str, Meta(max_length=2000)]

GUESSES = (Limit("30/minute", By.ADDRESS),)
MAILS = (Limit("10/minute", By.ADDRESS),)
YEAR_S = 31_536_000
SESSION_S = int(BROWSER_TTL.total_seconds())
ASIDE = timedelta(seconds=2)
"""So long a page waits for what it can stand without."""
SHOWN_EVENTS = 20
SHOWN_SESSIONS = 50


class Onward(msgspec.Struct, forbid_unknown_fields=True):
    """Where to go afterwards: a path of this site."""

    next: Path = ""


class LinkQuery(msgspec.Struct, forbid_unknown_fields=True):
    token: Secret = ""
    email: Typed = ""
    next: Path = ""


class SignIn(msgspec.Struct, forbid_unknown_fields=True):
    email: Typed = ""
    password: Secret = ""
    next: Path = ""


class SignUp(msgspec.Struct, forbid_unknown_fields=True):
    name: Typed = ""
    email: Typed = ""
    password: Secret = ""
    next: Path = ""


class Verify(msgspec.Struct, forbid_unknown_fields=True):
    email: Typed = ""
    code: Typed = ""
    token: Secret = ""
    next: Path = ""


class Forgot(msgspec.Struct, forbid_unknown_fields=True):
    email: Typed = ""


class Reset(msgspec.Struct, forbid_unknown_fields=True):
    token: Secret = ""
    password: Secret = ""


class ChangePassword(msgspec.Struct, forbid_unknown_fields=True):
    current_password: Secret = ""
    password: Secret = ""


class PhoneForm(msgspec.Struct, forbid_unknown_fields=True):
    """A number, or the code that went to the number given before."""

    phone: Typed = ""
    code: Typed = ""


class PreferencesForm(msgspec.Struct, forbid_unknown_fields=True):
    language: Literal["en", "pt", "ur"] = "en"
    theme: Literal["system", "light", "dark"] = "system"
    timezone: Annotated[str, Meta(max_length=64)] = ""


class Empty(msgspec.Struct, forbid_unknown_fields=True):
    """A form of buttons only."""


class IdentityPages(Api):
    """`secure` cookies travel over https only."""

    tag = "Pages"

    def __init__(
        self,
        service: IdentityService,
        pages: Surroundings,
        people: People,
        proposals: Proposals,
        clock: Clock,
        *,
        secure: bool,
    ) -> None:
        self._persons = service.persons
        self._phones = service.phones
        self._sessions = service.sessions
        self._pages = pages
        self._people = people
        self._proposals = proposals
        self._clock = clock
        self._secure = secure

    # --- in and out

    @page("/sign-in")
    async def sign_in_page(self, visit: Visit, query: Onward) -> Html | Redirect:
        """Sign in."""
        if visit.person is not None:
            return Redirect(query.next or "/")
        return await self._sign_in(visit, SignIn(next=query.next), NO_FAULTS)

    @action("/sign-in", access=PUBLIC, limits=GUESSES)
    async def sign_in(self, visit: Visit, form: SignIn) -> Html | Redirect:
        """Starts a session, which the cookie carries."""
        missing = _missing(form, {"email": "identity.need_email", "password": "identity.need_password"}, self._said(visit))
        if missing is not None:
            return await self._sign_in(visit, form, missing)
        try:
            token, known = await self._persons.start_browser_session(visit.ctx, form.email, form.password)
        except BadCredentials:
            wrong = Faults(401, BadCredentials.code, {FORM: self._say(visit, "identity.bad_credentials")})
            return await self._sign_in(visit, form, wrong)
        except Problem as problem:
            return await self._sign_in(visit, form, self._pages.faults(visit, problem))
        hello = self._say(visit, "identity.hello", name=known.name)
        return Redirect(form.next or "/", toast=hello, cookies=[self._cookie(token)])

    async def _sign_in(self, visit: Visit, form: SignIn, wrong: Faults) -> Html:
        return await self._on_the_way("identity/sign_in.html", visit, form, wrong)

    @page("/sign-up")
    async def sign_up_page(self, visit: Visit, query: Onward) -> Html | Redirect:
        """Make an account."""
        if visit.person is not None:
            return Redirect(query.next or "/")
        return await self._sign_up(visit, SignUp(next=query.next), NO_FAULTS)

    @action("/sign-up", access=PUBLIC, limits=(Limit("10/minute", By.ADDRESS), Limit("60/hour", By.ADDRESS)))
    async def sign_up(self, visit: Visit, form: SignUp) -> Html | Redirect:
        """Makes an account and signs it in; the address is proven next."""
        needs = {"name": "identity.need_name", "email": "identity.need_email", "password": "identity.need_new_password"}
        missing = _missing(form, needs, self._said(visit))
        new = NewAccount(form.email, form.password, form.name, form.next)
        if missing is not None:
            others = self._pages.faults(visit, Invalid(errors=await self._persons.faults(new)))
            return await self._sign_up(visit, form, Faults(missing.status, missing.code, {**others.at, **missing.at}))
        try:
            token, _ = await self._persons.register_browser(visit.ctx, new)
        except EmailTaken:
            return await self._sign_up(
                visit, form, Faults(409, EmailTaken.code, {"email": self._say(visit, "identity.email_taken")})
            )
        except Problem as problem:
            return await self._sign_up(visit, form, self._pages.faults(visit, problem))
        return Redirect("/verify" + _onward(form.next), cookies=[self._cookie(token)])

    async def _sign_up(self, visit: Visit, form: SignUp, wrong: Faults) -> Html:
        return await self._on_the_way("identity/sign_up.html", visit, form, wrong)

    async def _on_the_way(self, name: str, visit: Visit, form: SignIn | SignUp | Verify, wrong: Faults) -> Html:
        """A form that stands before somewhere else; where that is a booking, it says above what is about to be booked."""
        booked = await self._proposed(visit, form.next)
        return self._pages.page(name, visit, status=wrong.status, form=form, wrong=wrong, booked=booked)

    async def _proposed(self, visit: Visit, onward: str) -> Proposal | None:
        if not inside(onward):
            return None
        ctx = msgspec.structs.replace(visit.ctx, deadline=self._clock.now() + ASIDE)
        try:
            return await self._proposals.proposed(ctx, onward)
        except Problem:
            return None  # one signs in also while nobody there answers

    @action("/sign-out", access=PUBLIC)
    async def sign_out(self, visit: Visit, request: Request) -> Redirect:
        """Ends this session."""
        token = request.cookies.get(SESSION_COOKIE, "")
        if token:
            await self._persons.end_session(visit.ctx, token)
        gone = set_cookie(SESSION_COOKIE, "", 0, secure=self._secure)
        return Redirect("/", toast=self._say(visit, "identity.bye"), cookies=[gone])

    # --- the address

    @page("/verify")
    async def verify_page(self, visit: Visit, query: LinkQuery) -> Html | Redirect:
        """Enter the code, or press the button that the mail's link leads to."""
        if visit.person is not None and visit.person.confirmed:
            return Redirect(query.next or "/account")
        email = visit.person.email if visit.person else query.email
        form = Verify(email=email, token=query.token, next=query.next)
        try:
            if form.token:
                await self._persons.look_at_link(visit.ctx, Wish.CONFIRM, form.token)
        except LinkInvalid as problem:
            form.token = ""
            return await self._verify(visit, form, self._old_link(visit, problem))
        return await self._verify(visit, form, NO_FAULTS)

    @action("/verify", access=PUBLIC, limits=GUESSES)
    async def verify(self, visit: Visit, form: Verify) -> Html | Redirect:
        """Proves the address by the link's token, or by the code."""
        try:
            if form.token:
                kept = await self._persons.confirm_by_link(visit.ctx, form.token)
            else:
                email = visit.person.email if visit.person else form.email
                kept = await self._persons.confirm_by_code(visit.ctx, email, "".join(form.code.split()))
        except Problem as problem:
            wrong = self._pages.faults(visit, problem)
            key = "identity.link_old" if form.token else "identity.code_wrong"
            at = (
                {"" if form.token else "code": self._say(visit, key)}
                if wrong.code in ("link_invalid", "code_wrong")
                else wrong.at
            )
            form.token = ""
            return await self._verify(visit, form, Faults(wrong.status, wrong.code, at))
        onward = inside(form.next) or kept
        there = (onward or "/discover") if visit.person else f"/sign-in{_onward(onward)}"
        return Redirect(there, toast=self._say(visit, "identity.verified"))

    @action("/verify/resend", access=PUBLIC, limits=MAILS)
    async def resend(self, visit: Visit, form: Verify) -> Html | Redirect:
        """Sends another code; says the same whether the address has an account or not."""
        email = visit.person.email if visit.person else form.email.strip()
        if not email:
            missing = Faults(422, "invalid", {"email": self._say(visit, "identity.need_email")})
            return await self._verify(visit, form, missing)
        await self._persons.ask_for_code(visit.ctx, email, form.next)
        known = "" if visit.person else f"email={quote(email)}&"
        onward = f"?{known}next={quote(form.next)}" if known or form.next else ""
        return Redirect(f"/verify{onward}", toast=self._say(visit, "identity.sent_again"))

    def _old_link(self, visit: Visit, problem: Problem) -> Faults:
        return Faults(problem.status, problem.code, {FORM: self._say(visit, "identity.link_old")})

    async def _verify(self, visit: Visit, form: Verify, wrong: Faults) -> Html:
        return await self._on_the_way("identity/verify.html", visit, form, wrong)

    # --- a new password

    @page("/forgot")
    async def forgot_page(self, visit: Visit) -> Html:
        """Ask for a link to choose a new password."""
        return self._pages.page("identity/forgot.html", visit, form=Forgot(), wrong=NO_FAULTS, sent=False)

    @action("/forgot", access=PUBLIC, limits=MAILS)
    async def forgot(self, visit: Visit, form: Forgot) -> Html:
        """Sends the link, if there is an account; the answer is always the same."""
        missing = _missing(form, {"email": "identity.need_email"}, self._said(visit))
        if missing is not None:
            return self._pages.page("identity/forgot.html", visit, status=422, form=form, wrong=missing, sent=False)
        await self._persons.ask_for_reset(visit.ctx, form.email)
        return self._pages.page("identity/forgot.html", visit, form=form, wrong=NO_FAULTS, sent=True)

    @page("/reset")
    async def reset_page(self, visit: Visit, query: LinkQuery) -> Html:
        """Choose a new password."""
        try:
            if query.token:
                await self._persons.look_at_link(visit.ctx, Wish.RESET, query.token)
        except LinkInvalid as problem:
            return self._reset(visit, Reset(), self._old_link(visit, problem))
        return self._reset(visit, Reset(token=query.token), NO_FAULTS)

    @action("/reset", access=PUBLIC, limits=GUESSES)
    async def reset(self, visit: Visit, form: Reset) -> Html | Redirect:
        """Sets the new password; every session ends."""
        missing = _missing(form, {"password": "identity.need_new_password"}, self._said(visit))
        if missing is not None:
            return self._reset(visit, form, missing)
        try:
            await self._persons.reset_password(visit.ctx, form.token, form.password)
        except Problem as problem:
            old = isinstance(problem, LinkInvalid)
            return self._reset(visit, form, self._old_link(visit, problem) if old else self._pages.faults(visit, problem))
        return Redirect("/sign-in", toast=self._say(visit, "identity.password_new"))

    def _reset(self, visit: Visit, form: Reset, wrong: Faults) -> Html:
        return self._pages.page("identity/reset.html", visit, status=wrong.status, form=form, wrong=wrong)

    # --- oneself

    @page("/account", access=PERSON)
    async def account(self, visit: Visit) -> Html:
        """Profile, preferences, sessions, password, what happened."""
        return await self._account(visit)

    @action("/account/preferences")
    async def prefer(self, visit: Visit, form: PreferencesForm) -> Html | Redirect:
        """Keeps language and theme in this browser, the time zone with the account."""
        try:
            known = await self._people.my_preferences(visit.ctx)
            chosen = msgspec.structs.replace(known, locale=form.language, timezone=form.timezone.strip() or None)
            await self._people.prefer(visit.ctx, chosen)
        except Problem as problem:
            return await self._account(visit, form, self._pages.faults(visit, problem))
        # The theme's button on every page writes the same cookie, so scripts must reach it.
        theme = f"{THEME_COOKIE}={'' if form.theme == 'system' else form.theme}; Path=/; SameSite=Lax; Max-Age={YEAR_S}"
        locale = set_cookie(LOCALE_COOKIE, form.language, YEAR_S, secure=self._secure)
        said = self._pages.pages.text(form.language, "identity.saved")
        return Redirect("/account", toast=said, cookies=[locale, theme])

    @action("/account/phone", limits=MAILS)
    async def give_phone(self, visit: Visit, form: PhoneForm) -> Html | Redirect:
        """Sends a code to a phone number."""
        missing = _missing(form, {"phone": "identity.need_phone"}, self._said(visit))
        if missing is not None:
            return await self._account(visit, phone_form=form, phone_wrong=missing)
        try:
            number = await self._phones.ask_for_code(visit.ctx, form.phone, visit.locale)
        except Problem as problem:
            wrong = self._pages.faults(visit, problem)
            at = "identity.phone_often" if wrong.status == 429 else "identity.phone_wrong"
            wrong = Faults(wrong.status, wrong.code, {"phone": self._say(visit, at)})
            return await self._account(visit, phone_form=form, phone_wrong=wrong)
        return Redirect("/account#phone", toast=self._say(visit, "identity.code_sent", email=shown(number)))

    @action("/account/phone/verify", limits=(Limit("20/minute", By.ACCOUNT),))
    async def verify_phone(self, visit: Visit, form: PhoneForm) -> Html | Redirect:
        """Shows by the code that the number is one's own."""
        try:
            await self._phones.confirm(visit.ctx, "".join(form.code.split()))
        except (CodeWrong, PhoneTaken) as problem:
            key = "identity.phone_taken" if isinstance(problem, PhoneTaken) else "identity.phone_code_wrong"
            wrong = Faults(problem.status, problem.code, {"code": self._say(visit, key)})
            return await self._account(visit, phone_form=form, phone_wrong=wrong)
        return Redirect("/account#phone", toast=self._say(visit, "identity.phone_verified"))

    @action("/account/phone/remove")
    async def remove_phone(self, visit: Visit) -> Redirect:
        """Removes the number, and one that waits for its code."""
        await self._phones.remove(visit.ctx)
        return Redirect("/account#phone", toast=self._say(visit, "identity.phone_removed"))

    @action("/account/password", limits=(Limit("10/minute", By.ACCOUNT),))
    async def change_password(self, visit: Visit, form: ChangePassword) -> Html | Redirect:
        """Changes the password; every other session ends."""
        needs = {"current_password": "identity.need_password", "password": "identity.need_new_password"}
        missing = _missing(form, needs, self._said(visit))
        if missing is not None:
            return await self._account(visit, password_wrong=missing)
        try:
            await self._persons.change_password(visit.ctx, form.current_password, form.password)
        except Problem as problem:
            return await self._account(visit, password_wrong=self._pages.faults(visit, problem))
        return Redirect("/account#sessions", toast=self._say(visit, "identity.password_changed"))

    @action("/account/sessions/{id}/end")
    async def end_session(self, visit: Visit, id: UUID) -> Redirect:
        """Signs one device out."""
        await self._sessions.end(visit.ctx, id)
        if id == visit.ctx.actor.session_id:
            return Redirect("/", cookies=[set_cookie(SESSION_COOKIE, "", 0, secure=self._secure)])
        return Redirect("/account#sessions", toast=self._say(visit, "identity.session_ended"))

    @action("/account/sessions/end-all")
    async def end_all(self, visit: Visit) -> Redirect:
        """Signs every device out, this one too."""
        await self._sessions.end_all(visit.ctx)
        gone = set_cookie(SESSION_COOKIE, "", 0, secure=self._secure)
        return Redirect("/sign-in", toast=self._say(visit, "identity.all_ended"), cookies=[gone])

    async def _account(
        self,
        visit: Visit,
        form: PreferencesForm | None = None,
        wrong: Faults = NO_FAULTS,
        *,
        password_wrong: Faults = NO_FAULTS,
        phone_form: PhoneForm | None = None,
        phone_wrong: Faults = NO_FAULTS,
    ) -> Html:
        person = visit.person
        if person is None:
            raise NotFound
        if form is None:
            known = await self._people.my_preferences(visit.ctx)
            form = PreferencesForm(_language(visit.locale), _theme(visit.theme), known.timezone or "")
        zone = form.timezone if form.timezone and not wrong("timezone") else "UTC"
        sessions = (await self._sessions.mine(visit.ctx, SHOWN_SESSIONS, None)).items
        events = (await self._sessions.security_events(visit.ctx, SHOWN_EVENTS, None)).items
        return self._pages.page(
            "identity/account.html",
            visit,
            status=max(wrong.status, password_wrong.status, phone_wrong.status),
            account=person,
            form=form,
            wrong=wrong,
            password_wrong=password_wrong,
            phone=PhoneShown.of(await self._phones.mine(visit.ctx)),
            phone_form=phone_form or PhoneForm(),
            phone_wrong=phone_wrong,
            sessions=[Device.of(session_view(row, visit.ctx.actor.session_id)) for row in sessions],
            events=[Happened.of(row) for row in events],
            zone=zone,
            languages=[
                Choice(label="English", value="en", lang="en"),
                Choice(label="Português", value="pt", lang="pt"),
                Choice(label="اردو", value="ur", lang="ur"),
            ],
            themes=[Choice(label=self._say(visit, f"identity.theme_{name}"), value=name) for name in ("system", "light", "dark")],
        )

    # --- small things

    def _cookie(self, token: str) -> str:
        return set_cookie(SESSION_COOKIE, token, SESSION_S, secure=self._secure)

    def _say(self, visit: Visit, key: str, **values: object) -> str:
        return self._pages.pages.text(_language(visit.locale), key, **values)

    def _said(self, visit: Visit) -> Say:
        return lambda key: self._say(visit, key)


class Say(Protocol):
    def __call__(self, key: str, /) -> str: ...


class PhoneShown(msgspec.Struct, frozen=True):
    """The person's numbers as people read them; empty without one. `dialled` is the one that waits, E.164."""

    verified: str
    waiting: str
    dialled: str

    @classmethod
    def of(cls, row: NumberRow) -> PhoneShown:
        return cls(shown(row.verified or ""), shown(row.waiting or ""), row.waiting or "")


class Device(msgspec.Struct, frozen=True):
    """A session as its owner recognises it."""

    view: SessionView
    name: str
    browser: bool

    @classmethod
    def of(cls, view: SessionView) -> Device:
        return cls(view, device_name(view.agent), view.kind is SessionKind.BROWSER)


class Happened(msgspec.Struct, frozen=True):
    """A security event as its owner reads it; `worry` marks what the owner should look at."""

    row: SecurityRow
    device: str
    worry: bool

    @classmethod
    def of(cls, row: SecurityRow) -> Happened:
        return cls(row, device_name(row.agent), row.kind in ("login_failed", "locked_out", "token_reused", "new_device"))


_BROWSERS = (
    ("Edg", "Edge"),
    ("OPR", "Opera"),
    ("Firefox", "Firefox"),
    ("Chrome", "Chrome"),
    ("Safari", "Safari"),
    ("curl", "curl"),
)
_SYSTEMS = (
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("Windows", "Windows"),
    ("Mac OS", "Mac"),
    ("Linux", "Linux"),
)


def device_name(agent: str) -> str:
    """`Firefox, Linux` from a User-Agent; the agent itself, cut, when it is neither."""
    browser = next((name for mark, name in _BROWSERS if mark in agent), "")
    system = next((name for mark, name in _SYSTEMS if mark in agent), "")
    return ", ".join(part for part in (browser, system) if part) or agent[:40]


def _missing(form: msgspec.Struct, needed: dict[str, str], say: Say) -> Faults | None:
    """Faults at the fields that were left empty."""
    at = {field: say(key) for field, key in needed.items() if not str(getattr(form, field)).strip()}
    return Faults(422, "invalid", at) if at else None


def _onward(path: str) -> str:
    return f"?next={quote(path)}" if path else ""


def _language(locale: str) -> Literal["en", "pt", "ur"]:
    return locale if locale in ("pt", "ur") else "en"


def _theme(theme: str) -> Literal["system", "light", "dark"]:
    return theme if theme in ("light", "dark") else "system"
