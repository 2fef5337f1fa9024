from __future__ import annotations

import asyncio
import ipaddress
import json
from base64 import b64decode
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from hmac import digest
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from forecourt.kernel.clock import FixedClock
from forecourt.kernel.egress import MAX_ANSWER_BYTES, Egress
from forecourt.kernel.errors import AddressRefused, Invalid
from forecourt.kernel.ids import new_id
from forecourt.kernel.settings import Secret
from forecourt.modules.notifications.channels import Message, NotTaken, RecipientGone, Refused
from forecourt.modules.notifications.channels import gateways as gateways_module
from forecourt.modules.notifications.channels.breaker import FAILURES, LONGEST, PAUSE, Breaker
from forecourt.modules.notifications.channels.gateways import Gateway
from forecourt.modules.notifications.channels.webhooks import Webhook, shown_key, signature
from forecourt.modules.notifications.channels.webpush import (
    Vapid,
    WebPush,
    aes128gcm,
    b64,
    encrypt,
    point,
    public_point,
    unb64,
)
from forecourt.modules.notifications.contract import Channel
from forecourt.modules.notifications.queries.queue import Content

LOOPBACK = [ipaddress.ip_network("127.0.0.0/8")]
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


class Listener:
    """An HTTP server with one answer for everybody."""

    def __init__(self) -> None:
        self.answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
        self.heard: list[tuple[str, dict[str, str], bytes]] = []
        self.port = 0
        self.connections = 0
        self.stays = False
        """Whether a connection goes on after an answer."""

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            await self._answer(reader, writer)
            while self.stays:
                await self._answer(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {k.lower(): v for k, v in (line.split(": ", 1) for line in head[1:] if line)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        self.heard.append((head[0], headers, body))
        writer.write(self.answer)
        await writer.drain()


@pytest.fixture
async def listener() -> AsyncIterator[Listener]:
    listener = Listener()
    server = await asyncio.start_server(listener.talk, "127.0.0.1", 0)
    listener.port = server.sockets[0].getsockname()[1]
    yield listener
    server.close()
    await server.wait_closed()


def resolver(*addresses: str, asked: list[str] | None = None) -> Any:
    async def resolve(host: str, port: int) -> Sequence[str]:
        if asked is not None:
            asked.append(host)
        return addresses

    return resolve


def test_each_push_service_has_a_breaker_of_its_own() -> None:
    push = WebPush(Vapid(b"s" * 32, "mailto:a@example.org"), Egress(), FixedClock(NOW))
    one, again, other = (
        push.of(f"https://{host}/x/{n} key auth") for n, host in enumerate(["a.example", "a.example", "b.example"])
    )
    breaker = Breaker()
    for _ in range(FAILURES):
        breaker.failed(one.name, NOW)
    assert not breaker.lets(again.name, NOW)
    assert breaker.lets(other.name, NOW)


# --- egress --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1/",
        "https://2130706433/",
        "https://0x7f000001/",
        "https://0177.0.0.1/",
        "https://127.1/",
        "https://0.0.0.0/",
        "https://10.1.2.3/",
        "https://172.16.0.1/",
        "https://192.168.1.1/",
        "https://169.254.169.254/latest/meta-data/",
        "https://100.64.0.1/",
        "https://224.0.0.1/",
        "https://255.255.255.255/",
        "https://[::1]/",
        "https://[::]/",
        "https://[::ffff:127.0.0.1]/",
        "https://[::ffff:a9fe:a9fe]/",
        "https://[64:ff9b::7f00:1]/",
        "https://[2002:7f00:1::]/",
        "https://[fd00::1]/",
        "https://[fe80::1]/",
        "https://[fec0::1]/",
        "https://[feff::1]/",
        "https://localhost/",
        "https://localhost./",
        "https://api.localhost/",
        "https://printer.local/",
        "https://metadata.google.internal/",
        "https://intranet/",
        "http://example.org/",
        "ftp://example.org/",
        "file:///etc/passwd",
        "gopher://example.org/",
        "https://user:pass@example.org/",
        "https://example.org:0/",
        "https://example.org:99999/",
        "https://example.org/#fragment",
        "https://exa mple.org/",
        "https://example.org\\@127.0.0.1/",
        "https://example.org/\r\nHost: internal",
        "https://ex\u00e4mple.org/",
        "https:///path",
        "https://" + "a" * 3000 + ".org/",
        "",
    ],
)
async def test_addresses_that_are_not_of_the_public_internet_are_refused_before_anything_is_sent(url: str) -> None:
    egress = Egress(resolver=resolver("93.184.216.34"))
    with pytest.raises(AddressRefused):
        egress.check(url)
    with pytest.raises(Refused):
        await egress.post(url, b"", {})
    await egress.close()


def test_a_public_address_is_accepted() -> None:
    egress = Egress()
    for url in ("https://hooks.example.org/x?a=1", "https://93.184.216.34:8443/", "https://[2606:4700:4700::1111]/"):
        egress.check(url)
    Egress(plain_http=True).check("http://hooks.example.org/")


@pytest.mark.parametrize(
    "answers", [["127.0.0.1"], ["93.184.216.34", "10.0.0.1"], ["::ffff:192.168.0.1"], ["fe80::1%eth0"], ["64:ff9b::a00:1"]]
)
async def test_a_name_that_leads_inside_is_refused_if_any_of_its_addresses_does(answers: list[str], listener: Listener) -> None:
    egress = Egress(plain_http=True, resolver=resolver(*answers))
    with pytest.raises(Refused):
        await egress.post(f"http://hooks.example.org:{listener.port}/", b"{}", {})
    assert listener.heard == []
    await egress.close()


async def test_a_name_is_asked_for_once_and_the_connection_goes_to_the_judged_address(listener: Listener) -> None:
    """Rebinding: a second answer is never asked for."""
    asked: list[str] = []
    egress = Egress(LOOPBACK, plain_http=True, resolver=resolver("127.0.0.1", asked=asked))
    answer = await egress.post(f"http://hooks.example.org:{listener.port}/in?x=1", b"{}", {"X-Own": "1"})
    assert answer.status == 200
    assert asked == ["hooks.example.org"]
    ((line, headers, body),) = listener.heard
    assert line == "POST /in?x=1 HTTP/1.1"
    assert headers["host"] == f"hooks.example.org:{listener.port}"
    assert body == b"{}"
    await egress.close()


async def test_two_names_of_one_address_share_neither_a_connection_nor_a_cookie(listener: Listener) -> None:
    listener.stays = True
    listener.answer = b"HTTP/1.1 200 OK\r\nSet-Cookie: id=1; Path=/\r\nContent-Length: 2\r\n\r\nok"
    egress = Egress(LOOPBACK, plain_http=True, resolver=resolver("127.0.0.1"))
    for name in ("one", "two", "two"):
        await egress.post(f"http://{name}.example.org:{listener.port}/", b"", {})
    assert [headers["host"].split(".")[0] for _, headers, _ in listener.heard] == ["one", "two", "two"]
    assert listener.connections == 3
    assert all("cookie" not in headers for _, headers, _ in listener.heard)
    await egress.close()


async def test_a_client_that_keeps_what_it_is_given_shares_both(listener: Listener) -> None:
    """The control: the listener lets connections live, and gives cookies that are taken."""
    listener.stays = True
    listener.answer = b"HTTP/1.1 200 OK\r\nSet-Cookie: id=1; Path=/\r\nContent-Length: 2\r\n\r\nok"
    async with httpx.AsyncClient(trust_env=False) as client:
        for name in ("one", "two"):
            await client.post(f"http://127.0.0.1:{listener.port}/", headers={"Host": f"{name}.example.org"})
    assert listener.connections == 1
    assert listener.heard[1][1]["cookie"] == "id=1"


async def test_a_redirect_is_an_answer_and_is_not_followed(listener: Listener) -> None:
    listener.answer = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"
    egress = Egress(LOOPBACK, plain_http=True)
    assert (await egress.post(f"http://127.0.0.1:{listener.port}/", b"", {})).status == 302
    assert len(listener.heard) == 1
    hook = Webhook("hook", b"k" * 32, egress, FixedClock(NOW))
    with pytest.raises(NotTaken, match="302"):
        await hook.carry(Message(new_id(), "x", f"http://127.0.0.1:{listener.port}/", Content(body="{}")))
    await egress.close()


async def test_an_endless_answer_is_cut(listener: Listener) -> None:
    listener.answer = b"HTTP/1.1 200 OK\r\nContent-Length: 10000000\r\n\r\n" + b"x" * 200_000
    egress = Egress(LOOPBACK, plain_http=True)
    answer = await egress.post(f"http://127.0.0.1:{listener.port}/", b"", {})
    assert len(answer.body) == MAX_ANSWER_BYTES
    await egress.close()


async def test_who_does_not_answer_is_given_up(listener: Listener) -> None:
    listener.answer = b""
    egress = Egress(LOOPBACK, plain_http=True)
    with pytest.raises(NotTaken):
        await egress.post(f"http://127.0.0.1:{listener.port}/", b"", {})
    with pytest.raises(NotTaken, match="not known"):
        await Egress(resolver=resolver()).pin("nowhere.example.org", 443)
    await egress.close()


# --- webhooks ------------------------------------------------------------------------------------------------------------


async def test_a_webhook_is_signed_over_its_id_time_and_body(listener: Listener) -> None:
    egress, key = Egress(LOOPBACK, plain_http=True), b"k" * 32
    message = Message(new_id(), "booking.confirmed", f"http://127.0.0.1:{listener.port}/", Content(body='{"a":1}'))
    await Webhook("hook", key, egress, FixedClock(NOW)).carry(message)
    ((_, headers, body),) = listener.heard
    signed = f"{message.id}.{int(NOW.timestamp())}.".encode() + body
    assert headers["webhook-id"] == str(message.id)
    assert b64decode(headers["webhook-signature"].removeprefix("v1,")) == digest(key, signed, sha256)
    assert shown_key(key).startswith("whsec_")
    await egress.close()


def test_the_signature_is_that_of_the_published_example() -> None:
    """The example of the Standard Webhooks libraries."""
    key = b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    body = b'{"test": 2432232314}'
    said = signature(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body)
    assert said == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


# --- web push ------------------------------------------------------------------------------------------------------------


def private(text: str) -> ec.EllipticCurvePrivateKey:
    return ec.derive_private_key(int.from_bytes(unb64(text)), ec.SECP256R1())


def test_the_example_of_rfc_8291() -> None:
    sealed = encrypt(
        b"When I grow up, I want to be a watermelon",
        unb64("BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"),
        unb64("BTBZMqHH6r4Tts7J_aSIgg"),
        own=private("yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw"),
        salt=unb64("DGv6ra1nlYgDCS1FRnbzlw"),
    )
    assert b64(sealed) == (
        "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_"
        "yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN"
    )


def test_the_example_of_rfc_8188() -> None:
    sealed = aes128gcm(b"I am the walrus", unb64("yqdlZ-tYemfogSmv7Ws5PQ"), unb64("I1BsxtFttlv3u_Oo94xnmw"), b"")
    assert b64(sealed) == "I1BsxtFttlv3u_Oo94xnmwAAEAAA-NAVub2qFgBEuQKRapoZu-IxkIva3MEB1PD-ly8Thjg"


def test_a_push_that_is_too_long_or_keys_that_are_none_are_refused() -> None:
    browser = public_point(ec.generate_private_key(ec.SECP256R1()).public_key())
    assert len(encrypt(b"x" * 3900, browser, b"a" * 16)) <= 4096
    with pytest.raises(ValueError, match="too long"):
        encrypt(b"x" * 3901, browser, b"a" * 16)
    with pytest.raises(ValueError):
        encrypt(b"x", b"\x04" + b"\x00" * 64, b"a" * 16)


async def test_a_push_says_who_sends_it_and_one_key_serves_all_processes(listener: Listener) -> None:
    vapid, again = Vapid(b"secret" * 8, "mailto:ops@example.org"), Vapid(b"secret" * 8, "mailto:ops@example.org")
    assert vapid.public == again.public != Vapid(b"other" * 8, "mailto:ops@example.org").public
    egress = Egress(LOOPBACK, plain_http=True)
    push = WebPush(vapid, egress, FixedClock(NOW))
    browser = ec.generate_private_key(ec.SECP256R1())
    endpoint = f"http://127.0.0.1:{listener.port}/push/abc"
    recipient = f"{endpoint} {b64(public_point(browser.public_key()))} {b64(b'a' * 16)}"
    message = Message(new_id(), "booking.confirmed", recipient, Content(subject="Booked", text="Court 3"), urgent=True)
    listener.answer = b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n"
    await push.carry(message)
    ((_, headers, body),) = listener.heard
    assert headers["content-encoding"] == "aes128gcm"
    assert headers["urgency"] == "high"
    assert b"Court 3" not in body
    token = headers["authorization"].split("t=")[1].split(",")[0]
    head, claims, signed = token.split(".")
    assert json.loads(unb64(claims)) == {
        "aud": f"http://127.0.0.1:{listener.port}",
        "exp": int((NOW + timedelta(hours=12)).timestamp()),
        "sub": "mailto:ops@example.org",
    }
    raw = unb64(signed)
    pair = encode_dss_signature(int.from_bytes(raw[:32]), int.from_bytes(raw[32:]))
    point(unb64(vapid.public)).verify(pair, f"{head}.{claims}".encode(), ec.ECDSA(hashes.SHA256()))

    listener.answer = b"HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n"
    with pytest.raises(RecipientGone):
        await push.carry(message)
    listener.answer = b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n"
    with pytest.raises(Refused):
        await push.carry(message)
    listener.answer = b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"
    with pytest.raises(NotTaken):
        await push.carry(message)
    await egress.close()


# --- gateways ------------------------------------------------------------------------------------------------------------

TWILIO = "twilio://AC0123456789abcdef0123456789abcdef:0123456789abcdef0123456789abcdef@15551234567/{to}"


@pytest.mark.parametrize(
    ("channel", "url"),
    [
        (Channel.SMS, "json://127.0.0.1/{to}"),
        (Channel.SMS, "file:///etc/passwd?{to}"),
        (Channel.SMS, "syslog://{to}"),
        (Channel.SMS, "fcm://project@APIKEY/{to}?keyfile=/etc/passwd"),
        (Channel.SMS, TWILIO.replace("{to}", "15557654321")),
        (Channel.SMS, TWILIO + "?verify=no"),
        (Channel.SMS, TWILIO + "?rto=600"),
        (Channel.SMS, "twilio://{to}"),
        (Channel.WHATSAPP, "sns://key/secret/us-east-1/{to}"),
        (Channel.PUSH, TWILIO),
    ],
)
def test_an_organisation_may_name_gateways_at_fixed_hosts_alone(channel: Channel, url: str) -> None:
    with pytest.raises(Invalid):
        gateways_module.check(channel, url)


def test_a_gateway_that_is_complete_is_accepted() -> None:
    assert gateways_module.check(Channel.SMS, TWILIO) == "twilio"


async def test_a_text_goes_through_apprise_to_a_real_server(listener: Listener) -> None:
    gateway = Gateway(Secret(f"json://127.0.0.1:{listener.port}/sms/{{to}}/"), "sms gateway 1", Channel.SMS)
    await gateway.carry(Message(new_id(), "booking.confirmed", "+447700900123", Content(text="Court 3 at six")))
    ((line, _, body),) = listener.heard
    assert "447700900123" in line
    assert json.loads(body)["message"] == "Court 3 at six"
    listener.answer = b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"
    with pytest.raises(NotTaken) as e:
        await gateway.carry(Message(new_id(), "x", "+447700900123", Content(text="again")))
    assert "127.0.0.1" not in str(e.value), "addresses hold secrets: none in an error"
    with pytest.raises(Refused):
        await gateway.carry(Message(new_id(), "x", "+44/../7700900123", Content(text="x")))


# --- breaker -------------------------------------------------------------------------------------------------------------


def test_a_provider_that_keeps_failing_rests_and_comes_back_by_one_trial() -> None:
    breaker, now = Breaker(), NOW
    for _ in range(FAILURES - 1):
        breaker.failed("a", now)
    assert breaker.lets("a", now)
    breaker.failed("a", now)
    assert not breaker.lets("a", now)
    assert breaker.lets("b", now), "another's failures are its own"
    later = now + PAUSE
    assert breaker.lets("a", later), "one trial"
    assert not breaker.lets("a", later), "and no second one beside it"
    breaker.worked("a")
    assert breaker.lets("a", later)
    for _ in range(50):
        breaker.failed("a", now)
    assert breaker.opens_again("a") == now + LONGEST
