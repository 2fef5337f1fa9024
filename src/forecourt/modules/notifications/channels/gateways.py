"""Texts, WhatsApp and mobile push through Apprise, which speaks to some hundred gateways. It blocks, so it runs in threads."""

from __future__ import annotations

import asyncio
import re
import warnings
from functools import cache
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, quote, urlsplit

import structlog

from forecourt.kernel.errors import Invalid
from forecourt.kernel.settings import Secret
from forecourt.modules.notifications.channels import NO_QUEUE, Message, NotTaken, Refused
from forecourt.modules.notifications.contract import Channel

if TYPE_CHECKING:
    import apprise

TO = "{to}"
"""Where the recipient stands in a gateway's address."""
TIMEOUT_S = 25.0
AT_ONCE = 8

# Gateways at fixed hosts of the public internet. Others (a host of one's own, files, the desktop) are the operator's to set.
_SMS = (
    "46elks atalk bulksms bulkvs burstsms clickatell clicksend d7sms elks httpsms msgbird nexmo octopush plivo popcorn"
    " serwersms sinch smsc smsmanager smsmgr sns twilio voipms vonage"
)
ALLOWED: dict[Channel, frozenset[str]] = {
    Channel.SMS: frozenset(_SMS.split()),
    Channel.WHATSAPP: frozenset({"whatsapp", "twilio"}),
    Channel.PUSH: frozenset({"pover", "pbul", "prowl", "onesignal", "pushed", "pushy", "spush", "simplepush"}),
}
_PARAMETERS = frozenset({"from", "to", "source", "region", "sender"})
"""Others change time-outs, files and certificates."""
_PHONE = re.compile(r"^\+[1-9][0-9]{6,14}$")
_KEY = re.compile(r"^[A-Za-z0-9_.:@-]{1,200}$")


def check(channel: Channel, url: str) -> str:
    """The scheme of a gateway's address that an organisation may use for `channel`. Raises Invalid at `url`."""
    scheme, _, _rest = url.partition("://")
    scheme = scheme.lower()
    if scheme not in ALLOWED[channel]:
        raise Invalid.field("url", f"must be a gateway for {channel.value}: {', '.join(sorted(ALLOWED[channel]))}")
    if TO not in url:
        raise Invalid.field("url", f"must say where the recipient stands, as {TO}")
    refused = {name for name, _ in parse_qsl(urlsplit(url).query, keep_blank_values=True)} - _PARAMETERS
    if refused:
        raise Invalid.field("url", f"may not set {', '.join(sorted(refused))}")
    sample = "+15557654321" if channel is not Channel.PUSH else "u" * 30
    if _gateway(url, sample) is None:
        raise Invalid.field("url", f"is not complete for {scheme}")
    return scheme


@cache
def _load() -> None:
    """Apprise imports all its plugins, which takes a second and some memory: when a gateway is first used, not before."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some plugins use modules that Python is going to drop
        import apprise

        apprise.Apprise.instantiate("sns://", suppress_exceptions=True)


def _gateway(url: str, to: str) -> apprise.NotifyBase | None:
    _load()
    import apprise

    try:
        return apprise.Apprise.instantiate(url.replace(TO, quote(to, safe="+")), suppress_exceptions=True)
    except Exception:  # a plugin's parser may stumble over anything
        return None


class Gateway:
    """One gateway. Apprise answers only whether the message was taken."""

    def __init__(self, url: Secret, name: str, channel: Channel) -> None:
        self.name = name
        self._url = url
        self._channel = channel
        self.place = asyncio.Semaphore(AT_ONCE)

    async def carry(self, message: Message) -> None:
        form = _KEY if self._channel is Channel.PUSH else _PHONE
        if not form.match(message.recipient):
            raise Refused("no message can be addressed so")
        gateway = _gateway(self._url.reveal(), message.recipient)
        if gateway is None:
            raise NotTaken("the gateway's address is not complete")
        title = message.content.subject if self._channel is Channel.PUSH else ""
        try:
            async with asyncio.timeout(TIMEOUT_S):
                taken = await asyncio.to_thread(gateway.notify, body=message.content.text, title=title)
        except TimeoutError:
            raise NotTaken("the gateway did not answer") from None
        except Exception as e:  # whatever a plugin raises is about its gateway
            raise NotTaken(f"the gateway failed ({type(e).__name__})") from None
        if not taken:
            raise NotTaken("the gateway did not take it")


class LogChannel:
    """`log://`: writes that something would have been sent, never what. For trying out and for measuring."""

    name = "log"
    place = NO_QUEUE

    async def carry(self, message: Message) -> None:
        _log.info("notification_logged", delivery=str(message.id), kind=message.kind)


_log = structlog.get_logger("forecourt.notifications.log")
