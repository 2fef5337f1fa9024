"""Whoever asks to be erased is, after thirty days: what is left of them is an id that nobody has."""

from __future__ import annotations

import asyncpg
import pytest
from tests.modules.identity.conftest import STRANGER, World

from forecourt.kernel.errors import Conflict, Invalid
from forecourt.modules.identity.contract import AccountStatus


async def test_an_erased_account_is_unknown_to_other_modules_and_no_admin_brings_it_back(
    world: World, admin: asyncpg.Connection
) -> None:
    boss, ada = await world.confirmed("boss"), await world.confirmed("ada")
    as_boss, persons = await world.as_(boss), world.identity.persons
    with pytest.raises(Invalid):
        await persons.set_status(as_boss, ada.account.id, AccountStatus.ERASED, "gone")
    assert await world.identity.accounts(STRANGER, [ada.account.id]), "or the rest proves nothing"
    await admin.execute("update identity.account set status = 'erased', erased_at = now() where id = $1", ada.account.id)
    assert await world.identity.accounts(STRANGER, [ada.account.id, boss.account.id]) == [
        (await world.identity.account_by_email(STRANGER, boss.account.email))
    ]
    assert await world.identity.account_by_email(STRANGER, ada.account.email) is None
    with pytest.raises(Conflict):
        await persons.set_status(as_boss, ada.account.id, AccountStatus.ACTIVE, "a mistake")
    with pytest.raises(asyncpg.CheckViolationError):
        await admin.execute("update identity.account set status = 'active' where id = $1", ada.account.id)
