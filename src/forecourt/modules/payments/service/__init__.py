"""The use cases of payments, one file per subject, together as `PaymentsService`.

Locks are taken in one order everywhere: payment or authorisation, promo code, wallet; so nobody waits in a circle.
"""

from __future__ import annotations

from forecourt.modules.payments.service.forgetting import Forgetting
from forecourt.modules.payments.service.reading import ProofLine
from forecourt.modules.payments.service.refunding import Refunding
from forecourt.modules.payments.service.sweeping import Sweeping


class PaymentsService(Sweeping, Refunding, Forgetting):
    """Everything the module does. Satisfies `contract.Payments`."""


__all__ = ["PaymentsService", "ProofLine"]
