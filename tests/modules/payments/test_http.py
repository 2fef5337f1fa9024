"""Money over HTTP: what a person sees of their own, and what staff do, each by those who may and refused to those who may not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from tests.journeys.world import Club, Person, World, at


def gbp(amount: int) -> dict[str, Any]:
    return {"amount": amount, "currency": "GBP"}


async def book(club: Club, person: Person, pay_with: str, hour: int = 12, **more: Any) -> dict[str, Any]:
    body = {"resource_id": club.courts[0], "start": at(3, hour), "duration_min": 60, "pay_with": pay_with}
    answer = await person.post("/v1/bookings", body | more)
    assert answer.status_code == 201, answer.text
    return answer.json()


async def payment_of(club: Club, booking: dict[str, Any]) -> str:
    """The payment of a booking, as the ledger of the place knows it."""
    entries = (await club.owner.get(f"/v1/orgs/{club.id}/ledger/entries", account="revenue")).json()["items"]
    assert entries, booking
    return entries[-1]["payment_id"]


async def test_a_person_sees_wallets_history_and_payments_of_their_own_alone(world: World) -> None:
    club, ada, eve = await world.club(), await world.person("Ada"), await world.person("Eve")
    await world.credits(club, ada, 5000)
    payment = await payment_of(club, await book(club, ada, "credits"))
    (wallet,) = (await ada.get("/v1/wallets")).json()
    assert (wallet["organisation_id"], wallet["balance"]) == (club.id, gbp(3000))
    history = f"/v1/wallets/{club.id}/history"
    first = (await ada.get(history, limit=1)).json()
    rest = (await ada.get(history, cursor=first["next_cursor"])).json()
    assert [e["amount"] for e in first["items"] + rest["items"]] == [-2000, 5000]
    state = (await ada.get(f"/v1/payments/{payment}")).json()
    assert (state["paid"], state["due"]) == (gbp(2000), gbp(0))

    assert (await eve.get("/v1/wallets")).json() == []
    assert (await eve.get(history)).json()["items"] == []
    assert (await eve.get(f"/v1/payments/{payment}")).status_code == 404
    assert (await world.client.get("/v1/wallets")).status_code == 401


async def test_staff_settle_at_the_desk_and_give_back_what_was_paid(world: World) -> None:
    club, ada = await world.club(), await world.person("Ada")
    payment = await payment_of(club, await book(club, ada, "desk"))
    path = f"/v1/orgs/{club.id}/payments/{payment}"
    assert (await club.owner.get(path)).json()["due"] == gbp(2000)
    assert (await ada.post(f"{path}/settle")).status_code == 404  # a guest of the place is no staff
    settled = await club.owner.post(f"{path}/settle")
    assert (settled.status_code, settled.json()["paid"], settled.json()["due"]) == (200, gbp(2000), gbp(0))

    nothing = await club.owner.post(f"{path}/refund", {"reason": "rain", "amount": gbp(0)})
    assert (nothing.status_code, nothing.json()["errors"][0]["path"]) == (422, "amount.amount")
    too_much = await club.owner.post(f"{path}/refund", {"reason": "rain", "amount": gbp(2001)})
    assert (too_much.status_code, too_much.json()["code"]) == (409, "refund_exceeds_payment")
    key = str(uuid4())
    for _ in range(2):
        part = await club.owner.post(f"{path}/refund", {"reason": "rain", "amount": gbp(500)}, Idempotency_Key=key)
        assert (part.status_code, part.json()["at_desk"]) == (201, gbp(500))
    assert (await club.owner.get(path)).json()["refundable"] == gbp(1500)
    assert (await club.owner.get(f"/v1/orgs/{club.id}/ledger/proof")).json()["GBP"] | {"entries": 0} == {
        "entries": 0,
        "sum": 0,
        "faults": [],
    }


async def test_credits_given_by_mistake_are_taken_back_once(world: World) -> None:
    club, ada = await world.club(), await world.person("Ada")
    await world.credits(club, ada, 5000)
    ((lot,),) = [w["lots"] for w in (await ada.get("/v1/wallets")).json()]
    path = f"/v1/orgs/{club.id}/credits/{lot['id']}/reverse"
    assert (await ada.post(path, {"reason": "mine"})).status_code == 404
    key = str(uuid4())
    for _ in range(2):
        taken = await club.owner.post(path, {"reason": "wrong person"}, Idempotency_Key=key)
        assert (taken.status_code, taken.json()) == (200, {"amount": gbp(5000)})
    assert (await club.owner.post(path, {"reason": "again"})).json() == {"amount": gbp(0)}
    assert await world.balance(club, ada) == 0


async def test_credits_are_given_to_those_who_have_an_account_and_to_nobody_else(world: World) -> None:
    club, ada = await world.club(), await world.person("Ada")
    path, key = f"/v1/orgs/{club.id}/credits/grant", str(uuid4())
    gift = {"account_id": ada.id, "amount": gbp(700), "reason": "welcome"}
    refused = await club.owner.post(path, gift | {"account_id": str(uuid4())}, Idempotency_Key=key)
    assert (refused.status_code, refused.json()["errors"]) == (422, [{"path": "account_id", "message": "is not an account"}])
    assert (await club.owner.get(f"/v1/orgs/{club.id}/ledger/entries")).json()["items"] == []

    # The control: with somebody's id the same gift is made, and twice under one key is once.
    key = str(uuid4())
    for _ in range(2):
        assert (await club.owner.post(path, gift, Idempotency_Key=key)).status_code == 201
    assert await world.balance(club, ada) == 700


async def test_a_promo_code_is_made_listed_changed_checked_and_switched_off(world: World) -> None:
    club, ada = await world.club(), await world.person("Ada")
    path = f"/v1/orgs/{club.id}/promo-codes"
    new = {"code": "SPRING", "kind": "percent", "value": 25, "label": "Spring"}
    assert (await ada.post(path, new)).status_code == 404
    made = await club.owner.post(path, new)
    assert made.status_code == 201, made.text
    again = await club.owner.post(path, new)
    assert (again.status_code, again.json()["code"]) == (409, "promo_code_taken")
    await club.owner.post(path, new | {"code": "AUTUMN"})
    first = (await club.owner.get(path, limit=1)).json()
    rest = (await club.owner.get(path, cursor=first["next_cursor"])).json()
    assert [c["code"] for c in first["items"] + rest["items"]] == ["AUTUMN", "SPRING"]

    use = {
        "organisation_id": club.id, "code": "spring", "venue_id": club.venue, "start": at(), "duration_min": 60,
        "total": gbp(2000),
    }  # fmt: skip
    checked = await ada.post("/v1/promo-codes/check", use)
    assert (checked.status_code, checked.json()["discount"], checked.json()["total"]) == (200, gbp(500), gbp(1500))

    one = f"{path}/{made.json()['id']}"
    stale = await club.owner.send("PATCH", one, {"active": False}, If_Match='"999"')
    assert (stale.status_code, stale.json()["code"]) == (412, "version_stale")
    off = await club.owner.send("PATCH", one, {"active": False}, If_Match=made.headers["etag"])
    assert (off.status_code, off.json()["active"]) == (200, False)
    refused = await ada.post("/v1/promo-codes/check", use)
    assert (refused.status_code, refused.json()["code"], refused.json()["fault"]) == (422, "promo_rejected", "inactive")


async def test_the_ledger_is_read_between_two_instants_and_by_account(world: World) -> None:
    club, ada = await world.club(), await world.person("Ada")
    await world.credits(club, ada, 5000)
    path = f"/v1/orgs/{club.id}/ledger/entries"
    now = datetime.now(UTC)
    wallet = (await club.owner.get(path, account=f"wallet:{ada.id}")).json()["items"]
    assert [e["amount"] for e in wallet] == [5000]
    window = {"from": (now - timedelta(hours=1)).isoformat(), "to": (now + timedelta(hours=1)).isoformat()}
    assert len((await club.owner.get(path, **window)).json()["items"]) == 2
    assert (await club.owner.get(path, **{"from": window["to"]})).json()["items"] == []
    for account in ("nothing", "wallet:x", f"revenue:{ada.id}"):
        assert (await club.owner.get(path, account=account)).status_code == 422
    assert (await ada.get(path)).status_code == 404
