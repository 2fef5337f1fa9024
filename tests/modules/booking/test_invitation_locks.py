"""Whoever invites and whoever asks who is invited take the same locks in the same order: the booking's, then its invitations'."""

from __future__ import annotations

import asyncio
from typing import Any

from forecourt.modules.booking.contract import NewInvitee


async def test_who_was_named_becomes_an_invitation_only_behind_the_bookings_lock(fresh_database: Any, make_world: Any) -> None:
    world = await make_world(await fresh_database.connect(10))
    host = world.newcomer("Ada")
    held = await world.hold(host, team_size=2, invitees=[NewInvitee(email="gil@example.org")])
    admin = await fresh_database.admin()
    waiting = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
    try:
        async with admin.transaction(), asyncio.timeout(60):
            await admin.execute("select from booking.booking where id = $1 for update", held.id)  # as whoever invites does
            asking = asyncio.create_task(world.service.invitees(host, held.id))
            while not await admin.fetchval(waiting):
                await asyncio.sleep(0.01)
            # It has written no invitation that who holds the booking might have to wait for, in a circle.
            await admin.execute("lock table booking.invitation in share mode nowait")
    finally:
        await admin.close()
    assert [invitee.email for invitee in (await asking).items] == ["gil@example.org"]
