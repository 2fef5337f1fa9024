"""What people ask of the divided house, as kinds of requests, each held to a target; and what has to be there for it.

The mix is that of an evening: mostly looking, now and then a booking or a message. One request in two hundred is a log-in, which
is somebody every twenty minutes for whoever asks ten times a minute: more than people do, whose browsers stay signed in.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import asyncpg
import httpx
import msgspec

from bench import altered, search, seed
from bench.house import Asker, Divided
from bench.installation import Installation
from bench.load import HOST, Call
from bench.mixed import Kind
from forecourt.demo.many import fill_venues
from forecourt.modules.identity.passwords import Passwords

READ, WRITE, SEARCH, LOG_IN, ACCOUNT, WALLET, PRICE = "read", "write", "search", "log in", "account", "wallet", "price"
TARGETS = {READ: 200, WRITE: 500, SEARCH: 300, LOG_IN: 100, ACCOUNT: 25, WALLET: 40, PRICE: 30}
"""p95, ms, at 32 clients; of a log-in without its hash."""
PASSWORD = "correct horse battery staple"
VISITORS = 200
"""Who log in, and as many again whose hashes cost nothing."""
ROOMS = 100
BOOKINGS = 20_000


class Sort(msgspec.Struct, frozen=True):
    """A kind of request, and which target it is held to."""

    target: str
    kind: Kind

    @property
    def bound_ms(self) -> float:
        return TARGETS[self.target]


def address(number: int) -> str:
    """Where a person asks from: each from a place of their own."""
    return f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


class Questions:
    """All kinds, for one world. Places to book are never asked for twice, whichever house is asked."""

    def __init__(self, world: seed.World, dice: random.Random | None = None) -> None:
        self.world = world
        self._book: Iterator[Call] = iter(world.book(BOOKINGS))
        self._dice = dice or random.Random(3)
        self.rooms: list[tuple[str, UUID]] = []
        """Tokens, and rooms that their people are in."""

    async def prepare(self, at: Installation, venues: int) -> None:
        """Passwords, and venues to search among."""
        await fill_venues(at.admin_url, venues)
        usual = await Passwords().hash(PASSWORD)
        db = await asyncpg.connect(at.admin_url)
        try:
            for stored, first in ((usual, 0), (altered.LIGHT.hash(PASSWORD), VISITORS)):
                emails = [_email(n) for n in range(first, first + VISITORS)]
                await db.execute(
                    "update identity.account set password_hash = $1 where email_key = any($2::text[])", stored, emails
                )
        finally:
            await db.close()

    def open_rooms(self, port: int) -> None:
        """A room of two for each of a hundred people, made as they make one. `port`: where the house is."""
        with httpx.Client(base_url=f"http://{HOST}:{port}", timeout=30) as client:
            for n in range(ROOMS):
                me, you = self.world.bookers[2 * n], self.world.bookers[2 * n + 1]
                headers = {"Authorization": f"Bearer {me.token}", "X-Forwarded-For": address(n)}
                body = {"kind": "direct", "member_ids": [str(you.account_id)]}
                made = client.post("/v1/rooms", json=body, headers=headers).raise_for_status().json()
                self.rooms += [(me.token, made["id"]), (you.token, made["id"])]

    def audience(self, size: int) -> list[tuple[str, str]]:
        """Tokens and addresses of so many who have a page open, those who write to each other among them. Raises ValueError."""
        tokens = list(dict.fromkeys([*(token for token, _ in self.rooms), *(token for _, token in self.world.readers)]))
        if len(tokens) < size:
            raise ValueError(f"{size} people are not there: {len(tokens)} are")
        return [(token, address(n)) for n, token in enumerate(tokens[:size])]

    # --- kinds

    def sorts(self, house: Divided) -> list[Sort]:
        """All kinds in the mix."""
        asker = Asker(house)

        async def ask_account() -> int:
            return await asker.account(self._dice.choice(self.world.bookers).account_id)

        found = self.of_people()
        after = [sort.kind.name for sort in found].index("my account") + 1
        return [*found[:after], Sort(ACCOUNT, Kind("an account, for a service", 2, lambda: ask_account)), *found[after:]]

    def of_people(self) -> list[Sort]:
        """The kinds that people ask, of any house."""

        def told(target: str, name: str, share: float, make: Callable[[], Call], good: int = 200) -> Sort:
            return Sort(target, Kind(name, share, lambda: self._from_somewhere(make()), good))

        return [
            told(READ, "a booking", 12, lambda: self.world.read_one(1, self._dice)[0]),
            told(READ, "my bookings", 10, lambda: Call("/v1/bookings?limit=20", self._reader())),
            told(READ, "a court's day", 20, lambda: self.world.day_of_one_court(1, self._dice)[0]),
            told(READ, "a venue", 14, lambda: Call(f"/v1/venues/{self._club().venue_id}", self._reader())),
            told(WRITE, "book with credits", 3, lambda: next(self._book), 201),
            told(WRITE, "say something", 3, self._say, 201),
            told(SEARCH, "search by words", 5, lambda: Call(search.QUESTIONS["by words"](self._dice), self._reader())),
            told(SEARCH, "search near a point", 3, lambda: Call(search.QUESTIONS["near a point"](self._dice), self._reader())),
            told(ACCOUNT, "my account", 12, lambda: Call("/v1/me", self._reader())),
            told(WALLET, "my wallets", 8, lambda: Call("/v1/wallets", self._dice.choice(self.world.bookers).token)),
            told(PRICE, "a price", 7, self._price, 201),
            told(LOG_IN, "log in", 0.5, lambda: self.log_in(0)),
        ]

    def log_in(self, first: int) -> Call:
        """By one of the people whose numbers begin at `first`."""
        login = {"email": _email(first + self._dice.randrange(VISITORS)), "password": PASSWORD}
        return Call("/v1/auth/login", body=msgspec.json.encode(login), method="POST")

    def light_log_in(self, share: float) -> Kind:
        """By people whose hashes cost nothing, in a house that makes such hashes."""
        return Kind("log in", share, lambda: self._from_somewhere(self.log_in(VISITORS)))

    def slowed(self, path: str, share: float) -> Kind:
        return Kind("made slow", share, lambda: self._from_somewhere(Call(path, self._reader())))

    def _from_somewhere(self, call: Call) -> Call:
        return msgspec.structs.replace(call, address=address(self._dice.randrange(1 << 16)))

    def _reader(self) -> str:
        return self._dice.choice(self.world.readers)[1]

    def _club(self) -> seed.Club:
        return self._dice.choice(self.world.clubs)

    def _say(self) -> Call:
        token, room = self._dice.choice(self.rooms)
        body = {"client_id": str(uuid4()), "text": "Court 3 at seven, and bring the blue balls this time."}
        return Call(f"/v1/rooms/{room}/messages", token, msgspec.json.encode(body), "POST")

    def _price(self) -> Call:
        day = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=self._dice.randint(2, 300))
        start = day + timedelta(hours=self._dice.randint(7, 20))
        body = {
            "resource_id": str(self._dice.choice(self._club().courts)),
            "start": start.isoformat().replace("+00:00", "Z"),
            "duration_min": 60,
        }
        return Call("/v1/quotes", self._dice.choice(self.world.bookers).token, msgspec.json.encode(body), "POST")


def _email(number: int) -> str:
    """As `seed` made it. The first person owns the clubs."""
    return f"p{number + 1}@example.org"
