"""The public keys that access tokens are checked with: asked of the house's identity, kept for when it is away."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import httpx
import msgspec
import structlog

from forecourt.gateway.config import public_pem
from forecourt.gateway.plan import Plan
from forecourt.kernel.errors import Unauthenticated
from forecourt.kernel.http.doorman import HEADER as PROOF_HEADER
from forecourt.kernel.settings import Secret

PATH = "/.well-known/jwks.json"
ASK_TIMEOUT_S = 2.0
MAX_KEYS = 20

log = structlog.get_logger("forecourt.gateway")

Keys = list[dict[str, str]]


class _KeySet(msgspec.Struct, frozen=True):
    keys: list[dict[str, str]]


class KeySource:
    """Asks the servers of the service that serves identity, one after another."""

    def __init__(self, plan: Plan, kept: Path, proof: Secret | None = None) -> None:
        """`kept` is a file that the last answer is written to: a gateway that starts while identity is away reads it. `proof` is
        what the servers want to see of a gateway."""
        service = plan.home_of("identity")
        self._urls: Sequence[str] = [url.rstrip("/") + PATH for urls in service.versions.values() for url in urls]
        self._kept = kept
        self._headers = {} if proof is None else {PROOF_HEADER: proof.reveal()}

    async def ask(self) -> Keys | None:
        """The keys as they are now; None when nobody answers."""
        async with httpx.AsyncClient(timeout=ASK_TIMEOUT_S, trust_env=False, headers=self._headers) as client:
            for url in self._urls:
                try:
                    answer = await client.get(url)
                    if answer.status_code == Unauthenticated.status:
                        log.warning("gateway_not_known", url=url, cure="give it and the services the same FORECOURT_GATEWAY_KEYS")
                    answer.raise_for_status()
                    keys = checked(answer.content)
                except (httpx.HTTPError, ValueError) as e:
                    log.debug("keys_unread", url=url, error=type(e).__name__)
                    continue
                self._keep(keys)
                return keys
        return None

    def last(self) -> Keys | None:
        """The keys as somebody last said; None when nobody ever did."""
        try:
            return checked(self._kept.read_bytes())
        except (OSError, ValueError):
            return None

    def _keep(self, keys: Keys) -> None:
        text = json.dumps({"keys": keys}, sort_keys=True)
        if not self._kept.exists() or self._kept.read_text() != text:
            self._kept.parent.mkdir(parents=True, exist_ok=True)
            new = self._kept.with_name(self._kept.name + ".new")
            new.write_text(text)
            new.replace(self._kept)


def checked(body: bytes) -> Keys:
    """The keys of a JWKS, in a lasting order. Raises ValueError when one of them is no key of ours."""
    try:
        keys = msgspec.json.decode(body, type=_KeySet).keys
    except msgspec.DecodeError as e:
        raise ValueError(str(e)) from None
    if len(keys) > MAX_KEYS:
        raise ValueError("too many keys")
    for key in keys:
        public_pem(key)
    return sorted(keys, key=lambda key: key["kid"])
