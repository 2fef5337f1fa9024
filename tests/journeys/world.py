"""A small named world, made through the public API only: whoever can do it here can do it from outside."""

from __future__ import annotations

import asyncio
import itertools
import os
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

PASSWORD = "brisk-otter-lands-17-quinces"
HOURS = {day: [["06:00", "23:00"]] for day in ("mon", "tue", "wed", "thu", "fri", "sat", "sun")}
_numbers = itertools.count()


@dataclass
class Person:
    id: str
    email: str
    token: str
    refresh: str
    client: httpx.AsyncClient

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    async def get(self, path: str, **params: Any) -> httpx.Response:
        return await self.client.get(path, params=params or None, headers=self.headers)

    async def send(self, method: str, path: str, body: object = None, **headers: str) -> httpx.Response:
        return await self.client.request(
            method, path, json=body, headers=self.headers | {k.replace("_", "-"): v for k, v in headers.items()}
        )

    async def post(self, path: str, body: object = None, **headers: str) -> httpx.Response:
        return await self.send("POST", path, body, **headers)


@dataclass
class Club:
    """An organisation with one venue and some courts, open 06 to 23 and priced at 20.00 an hour."""

    owner: Person
    id: str
    venue: str
    courts: list[str] = field(default_factory=list)
    zone: str = "Europe/London"


class World:
    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client

    async def person(self, name: str = "Ada", *, verify: bool = True) -> Person:
        email = f"{name.lower()}.{os.getpid()}.{next(_numbers)}@example.org"
        answer = await self.client.post("/v1/auth/register", json={"email": email, "password": PASSWORD, "name": name})
        assert answer.status_code == 201, answer.text
        made = answer.json()
        person = Person(made["account"]["id"], email, made["access_token"], made["refresh_token"], self.client)
        if verify:
            code = await self.code(email)
            answer = await self.client.post("/v1/auth/verify-email", json={"email": email, "code": code})
            assert answer.status_code == 204, answer.text
        return person

    async def mail(self, to: str, count: int = 1) -> list[dict[str, Any]]:
        """At least `count` mails to `to`, newest first, as soon as they are there."""
        for _ in range(200):
            answer = await self.client.get("/dev/outbox", params={"to": to}, headers={"Accept": "application/json"})
            assert answer.status_code == 200, answer.text
            items = [m for m in answer.json()["items"] if m["to"] == to]
            if len(items) >= count:
                return items
            await asyncio.sleep(0.05)
        raise AssertionError(f"no mail to {to}")

    async def code(self, email: str) -> str:
        import re

        text = (await self.mail(email))[0]["text"]
        found = re.search(r"\b(\d{6})\b", text)
        assert found, text
        return found[1]

    async def club(
        self,
        courts: int = 2,
        zone: str = "Europe/London",
        currency: str = "GBP",
        owner: Person | None = None,
        where: tuple[float, float] = (51.5, -0.12),
    ) -> Club:
        """`where` is latitude and longitude: a place of its own, for a test that looks around in a house that others use too."""
        owner = owner or await self.person("Olive")
        answer = await owner.post(
            "/v1/orgs", {"name": "Riverside", "kind": "club", "country": "GB", "currency": currency, "timezone": zone}
        )
        assert answer.status_code == 201, answer.text
        org = answer.json()["id"]
        venue = {
            "name": "Riverside Courts",
            "address": "1 Quay Street, London",
            "location": {"lat": where[0], "lon": where[1]},
            "timezone": zone,
            "opening_hours": HOURS,
        }
        answer = await owner.post(f"/v1/orgs/{org}/venues", venue)
        assert answer.status_code == 201, answer.text
        club = Club(owner, org, answer.json()["id"], zone=zone)
        for number in range(courts):
            resource = {"name": f"Court {number + 1}", "kind": "court", "sport": "padel", "capacity": 4}
            answer = await owner.post(f"/v1/orgs/{org}/venues/{club.venue}/resources", resource)
            assert answer.status_code == 201, answer.text
            club.courts.append(answer.json()["id"])
        rules = [{"per": "hour", "amount": {"amount": 2000, "currency": currency}, "priority": 0, "label": "Any hour"}]
        answer = await owner.send("PUT", f"/v1/orgs/{org}/venues/{club.venue}/prices", {"rules": rules})
        assert answer.status_code == 200, answer.text
        return club

    async def credits(self, club: Club, person: Person, minor: int = 100_000, currency: str = "GBP") -> None:
        grant = {"account_id": person.id, "amount": {"amount": minor, "currency": currency}, "reason": "a welcome"}
        answer = await club.owner.post(f"/v1/orgs/{club.id}/credits/grant", grant)
        assert answer.status_code in (200, 201), answer.text

    async def balance(self, club: Club, person: Person) -> int:
        wallets = (await person.get("/v1/wallets")).json()
        found = [w["balance"]["amount"] for w in wallets if w["organisation_id"] == club.id]
        return found[0] if found else 0


def at(days: int = 3, hour: int = 12, minute: int = 0) -> str:
    """A time `days` from today, in UTC, as the API takes it."""
    day = datetime.now(UTC).replace(hour=hour, minute=minute, second=0, microsecond=0) + timedelta(days=days)
    return day.isoformat().replace("+00:00", "Z")
