"""What venues refuse, by stable codes."""

from __future__ import annotations

from forecourt.kernel.errors import Conflict, Forbidden, Invalid


class ResourceInactive(Conflict):
    code = "resource_inactive"
    title = "This is not bookable at present"


class VenueClosed(Conflict):
    code = "venue_closed"
    title = "The venue is closed at that time"


class OrganisationInactive(Forbidden):
    code = "organisation_inactive"
    title = "This organisation takes no bookings at present"


class CapacityExceeded(Invalid):
    """Too many or too few people for this purpose."""

    code = "capacity_exceeded"
    title = "That number of people does not fit here"


class SlugTaken(Conflict):
    code = "slug_taken"
    title = "That short name is taken"


class ResourceInUse(Conflict):
    """A part of a combined resource is not removed, and what is booked gets no more parts."""

    code = "resource_in_use"
    title = "This is still in use"
