"""Which providers carry a message: an organisation's own in their order, then the house's."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from uuid import UUID

import structlog

from forecourt.kernel.clock import Clock
from forecourt.kernel.db import Tx
from forecourt.kernel.egress import Egress
from forecourt.kernel.memory import remember
from forecourt.kernel.settings import Secret
from forecourt.modules.notifications.channels import Carrier
from forecourt.modules.notifications.channels.gateways import Gateway
from forecourt.modules.notifications.channels.mail import MailServer
from forecourt.modules.notifications.channels.webhooks import Webhook
from forecourt.modules.notifications.channels.webpush import WebPush
from forecourt.modules.notifications.contract import NOBODYS, Channel
from forecourt.modules.notifications.queries import choices
from forecourt.modules.notifications.queries.choices import EndpointRow, ProviderRow
from forecourt.modules.notifications.sealing import Vault

REMEMBERED = 500

log = structlog.get_logger("forecourt.notifications")


class Carriers:
    """`house` are the platform's own by channel, in their order."""

    def __init__(
        self,
        vault: Vault,
        egress: Egress,
        clock: Clock,
        sender: str,
        house: Mapping[Channel, Sequence[Carrier]],
        web_push: WebPush,
    ) -> None:
        self._vault = vault
        self._egress = egress
        self._clock = clock
        self._sender = sender
        self._house = house
        self._web_push = web_push
        self._made: OrderedDict[tuple[UUID, int], Carrier] = OrderedDict()

    async def of(self, tx: Tx, organisation_id: UUID) -> dict[Channel, list[Carrier]]:
        """By channel, the first to be asked first. Webhooks have one carrier each: `endpoints`."""
        found: dict[Channel, list[Carrier]] = {channel: [] for channel in Channel}
        if organisation_id != NOBODYS:
            for row in await choices.providers(tx, organisation_id):
                carrier = self._own(row) if row.enabled else None
                if carrier is not None:
                    found[row.channel].append(carrier)
        for channel, carriers in self._house.items():
            found[channel] += carriers
        found[Channel.WEB_PUSH].append(self._web_push)
        return found

    async def endpoints(self, tx: Tx, organisation_id: UUID) -> dict[UUID, tuple[EndpointRow, Carrier]]:
        """The organisation's webhook endpoints by id; switched-off ones are left out."""
        found: dict[UUID, tuple[EndpointRow, Carrier]] = {}
        for row in await choices.endpoints(tx, organisation_id):
            key = self._vault.unseal(row.sealed_key, row.id)
            if row.enabled and key is not None:
                found[row.id] = (row, Webhook(f"webhook {str(row.id)[-6:]}", key, self._egress, self._clock))
        return found

    def _own(self, row: ProviderRow) -> Carrier | None:
        known = self._made.get((row.id, row.version))
        if known is not None:
            return known
        url = self._vault.unseal(row.sealed_url, row.id)
        if url is None:
            log.error("provider_sealed_with_another_secret", provider=str(row.id))
            return None
        name = f"{row.name} {str(row.id)[-6:]}"
        secret = Secret(url.decode())
        carrier: Carrier = (
            MailServer(secret, self._sender, self._clock, name, self._egress)
            if row.channel is Channel.EMAIL
            else Gateway(secret, name, row.channel)
        )
        remember(self._made, (row.id, row.version), carrier, REMEMBERED)
        return carrier
