"""Who acts, for which organisation, with which trace and until when. An argument, never a global."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from uuid import UUID

import msgspec


class ActorKind(StrEnum):
    ANONYMOUS = "anonymous"
    PERSON = "person"
    API_KEY = "api_key"
    SERVICE = "service"


class Actor(msgspec.Struct, frozen=True):
    """The one who asks. `account_id` is set for a person; `key_id` and `scopes` for an API key."""

    kind: ActorKind = ActorKind.ANONYMOUS
    account_id: UUID | None = None
    session_id: UUID | None = None
    key_id: UUID | None = None
    key_organisation_id: UUID | None = None
    scopes: frozenset[str] = frozenset()
    confirmed: bool = False
    """False while the e-mail address is not verified: may look, hold and edit itself, but not pay, post or invite (ID-1)."""
    platform_admin: bool = False


ANONYMOUS = Actor()


class Context(msgspec.Struct, frozen=True):
    """What every use case takes first.

    `organisation_id` and `account_id` are what row security sees: the rows of that organisation, and the rows that
    belong to that person. They say what a transaction is *about*; what the actor *may do* is decided by `permissions`.
    """

    actor: Actor = ANONYMOUS
    organisation_id: UUID | None = None
    permissions: frozenset[str] = frozenset()
    """Named permissions (`booking.cancel_any`) the actor holds in `organisation_id`; empty for guests."""
    trace_id: str = ""
    deadline: datetime | None = None
    idempotency_id: UUID | None = None
    """Set when the request carries an Idempotency-Key: the id that the thing being made shall have, the same on every retry."""
    address: str = ""
    """Network address of the client, for throttling and audit; empty inside the house."""
    agent: str = ""
    language: str = ""
    """What the client would read, of the languages of the pages; empty inside the house."""

    @property
    def account_id(self) -> UUID | None:
        return self.actor.account_id

    def within(self, organisation_id: UUID | None) -> Context:
        """The same actor, about another organisation. Permissions do not travel."""
        if organisation_id == self.organisation_id:
            return self
        return msgspec.structs.replace(self, organisation_id=organisation_id, permissions=frozenset())

    def may(self, permission: str) -> bool:
        return permission in self.permissions


def service_context(name: str, organisation_id: UUID | None = None, trace_id: str = "") -> Context:
    """The house itself acting: jobs and reactions. `name` appears in audit."""
    return Context(
        actor=Actor(kind=ActorKind.SERVICE, scopes=frozenset({name})), organisation_id=organisation_id, trace_id=trace_id
    )
