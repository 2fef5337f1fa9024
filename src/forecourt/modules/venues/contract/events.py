"""What venues tell: each edit in one event of the book, and more exact ones beside it."""

from __future__ import annotations

from uuid import UUID

import msgspec

from forecourt.kernel.events import Event
from forecourt.modules.venues.contract.values import (
    Closure,
)
from forecourt.modules.venues.contract.words import (
    OrganisationKind,
    OrganisationStatus,
)


class OrganisationCreated(Event, name="organisation.created", version=1, frozen=True, kw_only=True):
    organisation_id: UUID
    owner_id: UUID
    kind: OrganisationKind


class Change(msgspec.Struct, frozen=True):
    """One field before and after, as JSON text, cut where it is long. For people who look at what was done."""

    field: str
    before: str
    after: str


class OrganisationChanged(Event, name="organisation.changed", version=1, frozen=True, kw_only=True):
    """Details, policies or status changed: every book of the organisation is stale (and each gets its VenueChanged)."""

    organisation_id: UUID
    status: OrganisationStatus
    changes: tuple[Change, ...] = ()
    reason: str = ""
    """Why the platform suspended, deactivated or took it back; empty for what owners do."""


class PoliciesChanged(Event, name="organisation.policies_changed", version=1, frozen=True, kw_only=True):
    """Comes beside OrganisationChanged."""

    organisation_id: UUID
    changes: tuple[Change, ...]


class VenueCreated(Event, name="venue.created", version=1, frozen=True, kw_only=True):
    organisation_id: UUID
    venue_id: UUID


class VenueChanged(Event, name="venue.changed", version=1, frozen=True, kw_only=True):
    """Anything of the venue's book changed: hours, closures, prices, resources, policies, details. `version` is the book's.

    More exact events (PricesChanged, ResourceChanged, …) come beside it; `changes` are those of the venue's own details.
    """

    organisation_id: UUID
    venue_id: UUID
    version: int = 0
    changes: tuple[Change, ...] = ()


class PricesChanged(Event, name="venue.prices_changed", version=1, frozen=True, kw_only=True):
    organisation_id: UUID
    venue_id: UUID
    changes: tuple[Change, ...]


class ClosureAdded(Event, name="venue.closure_added", version=1, frozen=True, kw_only=True):
    organisation_id: UUID
    venue_id: UUID
    closure: Closure


class ClosureRemoved(Event, name="venue.closure_removed", version=1, frozen=True, kw_only=True):
    organisation_id: UUID
    venue_id: UUID
    closure: Closure


class ResourceCreated(Event, name="resource.created", version=1, frozen=True, kw_only=True):
    """Comes beside ResourceChanged."""

    organisation_id: UUID
    venue_id: UUID
    resource_id: UUID


class ResourceChanged(Event, name="resource.changed", version=1, frozen=True, kw_only=True):
    """A resource was added, edited, switched off or on, or removed."""

    organisation_id: UUID
    venue_id: UUID
    resource_id: UUID
    active: bool
    removed: bool = False
    changes: tuple[Change, ...] = ()
