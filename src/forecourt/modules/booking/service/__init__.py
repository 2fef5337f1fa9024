"""Use cases of booking. Each file adds its own to the one before; `BookingService` is all of them together.

`base` who acts and what is told · `holding` hold, pay, confirm · `changing` cancel, move, edit · `reading` questions and
quotes · `desk` what staff do · `blocking` blocks · `keeping` what time does · `feeds` calendars · `inviting` guests ·
`forgetting` whoever is erased.
"""

from forecourt.modules.booking.service.forgetting import Forgetting


class BookingService(Forgetting):
    """Booking as other modules and the door see it; satisfies `Bookings`."""


__all__ = ["BookingService"]
