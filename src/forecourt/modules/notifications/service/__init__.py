"""Use cases of notifications, one room each; `Notifications` is the whole floor as the composition root builds it."""

from __future__ import annotations

from collections.abc import Sequence
from email.utils import parseaddr
from ipaddress import ip_network

from forecourt.kernel.clock import Clock
from forecourt.kernel.db import ModuleDatabase
from forecourt.kernel.egress import Egress
from forecourt.kernel.live import Announcer
from forecourt.kernel.metrics import Metrics
from forecourt.kernel.settings import Secret, Settings
from forecourt.modules.notifications.channels import Carrier
from forecourt.modules.notifications.channels.gateways import Gateway, LogChannel
from forecourt.modules.notifications.channels.webpush import Vapid, WebPush
from forecourt.modules.notifications.contract import Channel
from forecourt.modules.notifications.sealing import Links, Vault
from forecourt.modules.notifications.service.addresses import Addresses
from forecourt.modules.notifications.service.carriers import Carriers
from forecourt.modules.notifications.service.choices import ChoicesService
from forecourt.modules.notifications.service.house import HouseService
from forecourt.modules.notifications.service.inbox import InboxService
from forecourt.modules.notifications.service.leaving import Forgetting
from forecourt.modules.notifications.service.letters import Letters
from forecourt.modules.notifications.service.outbox import NotificationsService, OutboxChannel
from forecourt.modules.notifications.service.sending import Sending
from forecourt.modules.notifications.service.telling import Sources, Telling

LOG = "log://"


class Notifications:
    def __init__(
        self, db: ModuleDatabase, clock: Clock, sources: Sources, announcer: Announcer, settings: Settings, metrics: Metrics
    ) -> None:
        secret = settings.secrets.secret_key.reveal().encode()
        public_url, sender, developing = settings.http.public_url, settings.mail.sender, not settings.production
        networks = [ip_network(network) for network in settings.channels.networks]
        self.vault = Vault(secret)
        self.links = Links(secret)
        self.egress = Egress(networks, plain_http=developing)
        address = parseaddr(sender)[1] or "postmaster@localhost"
        self.vapid = Vapid(secret, public_url if public_url.startswith("https://") else f"mailto:{address}")
        channels = settings.channels
        sms = gateways(Channel.SMS, channels.sms)
        self.post = NotificationsService(db, clock, settings.mail, keep_outbox=developing, gateways=sms)
        self.letters = Letters(self.post, sources.people)
        outbox: list[Carrier] = [OutboxChannel(self.post)] if developing else []
        house: dict[Channel, Sequence[Carrier]] = {
            Channel.EMAIL: [self.post],
            Channel.SMS: sms or outbox,
            Channel.WHATSAPP: gateways(Channel.WHATSAPP, channels.whatsapp) or outbox,
            Channel.PUSH: gateways(Channel.PUSH, channels.push) or outbox,
        }
        self.choices = ChoicesService(db, clock, sources.people, self.links, self.vapid, self.egress)
        carriers = Carriers(self.vault, self.egress, clock, sender, house, WebPush(self.vapid, self.egress, clock))
        self.inbox = InboxService(db, clock, announcer)
        self.telling = Telling(db, clock, sources, self.inbox, self.links, public_url)
        self.addresses = Addresses(db, clock, sources, self.telling, carriers, self.links, public_url)
        self.sending = Sending(db, clock, self.telling, carriers, self.links, public_url, metrics)
        self.forgetting = Forgetting(db, clock, self.telling)
        self.house = HouseService(db, clock, self.vault, self.egress, self.telling, public_url)


def gateways(channel: Channel, urls: Sequence[Secret]) -> list[Carrier]:
    """The operator's gateways; `log://` only writes that something would be sent."""
    return [
        LogChannel() if url.reveal().startswith(LOG) else Gateway(url, f"{channel.value} gateway {number}", channel)
        for number, url in enumerate(urls, 1)
    ]


__all__ = ["LogChannel", "Notifications", "NotificationsService", "Sources"]
