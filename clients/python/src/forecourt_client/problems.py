"""A class for every code that the house's operations name, below the class of its status.

Generated from the OpenAPI document by `make clients`; not to be edited.
"""

from __future__ import annotations

from forecourt_client.errors import (
    Conflict,
    Forbidden,
    Gone,
    Invalid,
    PaymentRequired,
    RateLimited,
    Unauthenticated,
    UnsupportedMedia,
)


class AccountSuspended(Forbidden, code="account_suspended"):
    """403 `account_suspended`."""


class AddressRefused(Invalid, code="address_refused"):
    """422 `address_refused`."""


class AdminCannotBook(Forbidden, code="admin_cannot_book"):
    """403 `admin_cannot_book`."""


class AskedOften(Conflict, code="asked_often"):
    """409 `asked_often`."""


class BadCredentials(Unauthenticated, code="bad_credentials"):
    """401 `bad_credentials`."""


class BadSignature(Unauthenticated, code="bad_signature"):
    """401 `bad_signature`."""


class Banned(Forbidden, code="banned"):
    """403 `banned`."""


class Blocked(Conflict, code="blocked"):
    """409 `blocked`."""


class BookingOvertaken(Conflict, code="booking_overtaken"):
    """409 `booking_overtaken`."""


class CapacityExceeded(Invalid, code="capacity_exceeded"):
    """422 `capacity_exceeded`."""


class CodeWrong(Invalid, code="code_wrong"):
    """422 `code_wrong`."""


class EmailTaken(Conflict, code="email_taken"):
    """409 `email_taken`."""


class EmailUnconfirmed(Forbidden, code="email_unconfirmed"):
    """403 `email_unconfirmed`."""


class ExportLinkInvalid(Forbidden, code="export_link_invalid"):
    """403 `export_link_invalid`."""


class ExportTooLarge(Invalid, code="export_too_large"):
    """422 `export_too_large`."""


class FixedMembership(Conflict, code="fixed_membership"):
    """409 `fixed_membership`."""


class GrantMismatch(Conflict, code="grant_mismatch"):
    """409 `grant_mismatch`."""


class HandleTaken(Conflict, code="handle_taken"):
    """409 `handle_taken`."""


class HoldExpired(Conflict, code="hold_expired"):
    """409 `hold_expired`."""


class InsufficientCredits(PaymentRequired, code="insufficient_credits"):
    """402 `insufficient_credits`."""


class InvalidTransition(Conflict, code="invalid_transition"):
    """409 `invalid_transition`."""


class InvitationDeclined(Conflict, code="invitation_declined"):
    """409 `invitation_declined`."""


class InvitationOver(Gone, code="invitation_over"):
    """410 `invitation_over`."""


class InvitationTaken(Conflict, code="invitation_taken"):
    """409 `invitation_taken`."""


class LastAdmin(Conflict, code="last_admin"):
    """409 `last_admin`."""


class LastOwner(Conflict, code="last_owner"):
    """409 `last_owner`."""


class LastRoomOwner(Conflict, code="last_room_owner"):
    """409 `last_room_owner`."""


class LinkInvalid(Invalid, code="link_invalid"):
    """422 `link_invalid`."""


class LockedOut(RateLimited, code="locked_out"):
    """429 `locked_out`."""


class MeansNotSetUp(Invalid, code="means_not_set_up"):
    """422 `means_not_set_up`."""


class MediaInUse(Conflict, code="media_in_use"):
    """409 `media_in_use`."""


class MediaQuotaFull(Conflict, code="media_quota_full"):
    """409 `media_quota_full`."""


class MediaRefused(UnsupportedMedia, code="media_refused"):
    """415 `media_refused`."""


class MediaTooLarge(Invalid, code="media_too_large"):
    """422 `media_too_large`."""


class MessageDeleted(Conflict, code="message_deleted"):
    """409 `message_deleted`."""


class Muted(Forbidden, code="muted"):
    """403 `muted`."""


class NotAMember(Forbidden, code="not_a_member"):
    """403 `not_a_member`."""


class NotInvited(Conflict, code="not_invited"):
    """409 `not_invited`."""


class NotReplayable(Conflict, code="not_replayable"):
    """409 `not_replayable`."""


class OrganisationInactive(Forbidden, code="organisation_inactive"):
    """403 `organisation_inactive`."""


class OutsideHorizon(Invalid, code="outside_horizon"):
    """422 `outside_horizon`."""


class PhoneTaken(Conflict, code="phone_taken"):
    """409 `phone_taken`."""


class PriceChanged(Conflict, code="price_changed"):
    """409 `price_changed`."""


class PromoCodeTaken(Conflict, code="promo_code_taken"):
    """409 `promo_code_taken`."""


class PromoRejected(Invalid, code="promo_rejected"):
    """422 `promo_rejected`."""


class QuoteExpired(Gone, code="quote_expired"):
    """410 `quote_expired`."""


class QuoteMismatch(Invalid, code="quote_mismatch"):
    """422 `quote_mismatch`."""


class RefundChanged(Conflict, code="refund_changed"):
    """409 `refund_changed`."""


class RefundExceedsPayment(Conflict, code="refund_exceeds_payment"):
    """409 `refund_exceeds_payment`."""


class RefundMismatch(Conflict, code="refund_mismatch"):
    """409 `refund_mismatch`."""


class ResourceInUse(Conflict, code="resource_in_use"):
    """409 `resource_in_use`."""


class ResourceInactive(Conflict, code="resource_inactive"):
    """409 `resource_inactive`."""


class RoleInUse(Conflict, code="role_in_use"):
    """409 `role_in_use`."""


class RoleNameTaken(Conflict, code="role_name_taken"):
    """409 `role_name_taken`."""


class RoomArchived(Conflict, code="room_archived"):
    """409 `room_archived`."""


class RoomFull(Conflict, code="room_full"):
    """409 `room_full`."""


class SlotTaken(Conflict, code="slot_taken"):
    """409 `slot_taken`."""


class SlowMode(RateLimited, code="slow_mode"):
    """429 `slow_mode`."""


class SlugTaken(Conflict, code="slug_taken"):
    """409 `slug_taken`."""


class TemplateExists(Conflict, code="template_exists"):
    """409 `template_exists`."""


class TemplateInvalid(Invalid, code="template_invalid"):
    """422 `template_invalid`."""


class TokenInvalid(Unauthenticated, code="token_invalid"):
    """401 `token_invalid`."""


class TokenReused(Unauthenticated, code="token_reused"):
    """401 `token_reused`."""


class TooMany(Conflict, code="too_many"):
    """409 `too_many`."""


class TooManyInvitations(RateLimited, code="too_many_invitations"):
    """429 `too_many_invitations`."""


class TooManyOpenBookings(Conflict, code="too_many_open_bookings"):
    """409 `too_many_open_bookings`."""


class TooManyRooms(Conflict, code="too_many_rooms"):
    """409 `too_many_rooms`."""


class TooManyUploads(Conflict, code="too_many_uploads"):
    """409 `too_many_uploads`."""


class UnsubscribeLinkInvalid(Gone, code="unsubscribe_link_invalid"):
    """410 `unsubscribe_link_invalid`."""


class UploadIncomplete(Conflict, code="upload_incomplete"):
    """409 `upload_incomplete`."""


class UploadOffset(Conflict, code="upload_offset"):
    """409 `upload_offset`."""


class VenueClosed(Conflict, code="venue_closed"):
    """409 `venue_closed`."""
