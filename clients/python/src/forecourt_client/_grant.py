"""What a log-in grants, and when it has to be renewed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from msgspec import Struct

from forecourt_client._wire import Call, Method
from forecourt_client.errors import NotSignedIn

EARLY_S = 30
"""An access token is renewed so long before its end: a request should not arrive with one that ends on the way."""
LOG_IN = Method("POST", "/v1/auth/login")
REGISTER = Method("POST", "/v1/auth/register")
REFRESH = Method("POST", "/v1/auth/refresh")
LOG_OUT = Method("POST", "/v1/auth/logout")


class Grant(Struct, frozen=True):
    """A session's tokens. Keep it, with `on_grant`, to go on another day; it is as secret as a password.

    The refresh token works once: two clients that begin with the same grant end each other's session.
    """

    access_token: str
    refresh_token: str
    expires_at: datetime
    """Of the access token."""

    def ends_soon(self, now: datetime) -> bool:
        return now >= self.expires_at - timedelta(seconds=EARLY_S)


class Granted(Struct, frozen=True):
    """The house's answer."""

    access_token: str
    refresh_token: str
    expires_in: int

    def grant(self) -> Grant:
        return Grant(self.access_token, self.refresh_token, datetime.now(UTC) + timedelta(seconds=self.expires_in))


def log_in(email: str, password: str) -> Call[Granted]:
    return Call(LOG_IN, Granted, body={"email": email, "password": password})


def register(email: str, password: str, name: str) -> Call[Granted]:
    return Call(REGISTER, Granted, body={"email": email, "password": password, "name": name})


def refresh(grant: Grant) -> Call[Granted]:
    return Call(REFRESH, Granted, body={"refresh_token": grant.refresh_token})


def log_out(grant: Grant) -> Call[None]:
    return Call(LOG_OUT, type(None), body={"refresh_token": grant.refresh_token})


class Keeper:
    """The present credentials of a client and all its copies. Holds no lock: its clients do."""

    def __init__(self, api_key: str | None, grant: Grant | None, heard: Callable[[Grant | None], None]) -> None:
        if api_key is not None and grant is not None:
            raise ValueError("give either an API key or a grant")
        self.api_key = api_key
        self.grant = grant
        self._heard = heard

    def adopt(self, grant: Grant | None) -> None:
        self.grant = grant
        self._heard(grant)

    def headers(self, grant: Grant | None) -> dict[str, str]:
        if self.api_key is not None:
            return {"X-API-Key": self.api_key}
        return {} if grant is None else {"Authorization": f"Bearer {grant.access_token}"}

    def wants_renewal(self, refused: Grant | None) -> bool:
        """Whether the present grant has to be renewed: it ends soon, or it is the one that was refused."""
        grant = self.grant
        return grant is not None and (grant is refused or grant.ends_soon(datetime.now(UTC)))

    def needed(self) -> Grant:
        if self.grant is None:
            raise NotSignedIn("log in first, or give the client a grant")
        return self.grant


def unheard(grant: Grant | None) -> None:
    """Nobody keeps the grant."""


def address(url: str) -> str:
    """The house's address. Raises ValueError for what is none."""
    if not url.startswith(("http://", "https://")):
        raise ValueError(f"{url!r} is not an address such as https://book.example.org")
    return url.rstrip("/")


__all__ = ["Grant", "Granted", "Keeper", "address", "log_in", "log_out", "refresh", "register", "unheard"]
