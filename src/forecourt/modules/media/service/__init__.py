"""Use cases: take a file, at once or in parts; attach it, show it, let it go, forget whose it was."""

from forecourt.modules.media.service.base import EXPIRE, FORGET, SWEEP, Expire, Forget, Holder, Quotas, Sweep
from forecourt.modules.media.service.forgetting import Forgetting
from forecourt.modules.media.service.owning import Owning
from forecourt.modules.media.service.resuming import Resuming
from forecourt.modules.media.service.showing import Asked, Opened, Showing
from forecourt.modules.media.service.sweeping import Sweeping
from forecourt.modules.media.service.taking import Sent


class MediaService(Resuming, Showing, Owning, Sweeping, Forgetting):
    """Everything that the contract and the addresses of this module offer."""


__all__ = [
    "EXPIRE",
    "FORGET",
    "SWEEP",
    "Asked",
    "Expire",
    "Forget",
    "Holder",
    "MediaService",
    "Opened",
    "Quotas",
    "Sent",
    "Sweep",
]
