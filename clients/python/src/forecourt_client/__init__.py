"""The client of Forecourt: find, book and pay for places, sync and async, and follow what happens on the socket."""

from __future__ import annotations

from forecourt_client import models, problems
from forecourt_client._grant import Grant
from forecourt_client._wire import UNSET, VERSION, Content, File, Page, Policy, UnsetType, Versioned
from forecourt_client.client import AsyncForecourt, Forecourt
from forecourt_client.errors import (
    ConnectionLost,
    FieldError,
    ForecourtError,
    NotSignedIn,
    Problem,
    TimedOut,
    UnexpectedAnswer,
)
from forecourt_client.socket import Ack, Event, Following, Position, Presence, Reset, SendRefused, Socket, SocketOver, TopicGone

__version__ = VERSION

__all__ = [
    "UNSET",
    "Ack",
    "AsyncForecourt",
    "ConnectionLost",
    "Content",
    "Event",
    "FieldError",
    "File",
    "Following",
    "Forecourt",
    "ForecourtError",
    "Grant",
    "NotSignedIn",
    "Page",
    "Policy",
    "Position",
    "Presence",
    "Problem",
    "Reset",
    "SendRefused",
    "Socket",
    "SocketOver",
    "TimedOut",
    "TopicGone",
    "UnexpectedAnswer",
    "UnsetType",
    "Versioned",
    "models",
    "problems",
]
