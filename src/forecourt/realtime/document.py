"""The socket in the AsyncAPI document: what clients send and hear, generated from the frames themselves."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, cast
from urllib.parse import urlsplit

import msgspec
from msgspec import UNSET, Struct, UnsetType

from forecourt.kernel.presence import State
from forecourt.kernel.topics import Position, TopicName
from forecourt.realtime.frames import Acked, Authenticated, Bye, Failed, Reset, Subscribed, Unsubscribed
from forecourt.realtime.protocol import PATH

Json = dict[str, object]
CHANNEL = "socket"


class Subscribe(Struct, tag="subscribe", tag_field="op"):
    """Follow a topic, from a position on."""

    topic: TopicName
    since: Position | UnsetType = UNSET


class Unsubscribe(Struct, tag="unsubscribe", tag_field="op"):
    """Follow it no longer."""

    topic: TopicName


class Send(Struct, tag="send", tag_field="op"):
    """A message; besides these, the fields of the HTTP operation of the same meaning. Sent again, it makes nothing new."""

    topic: TopicName
    client_id: str
    text: str | UnsetType = UNSET


class Read(Struct, tag="read", tag_field="op"):
    """How far the person has read."""

    topic: TopicName
    seq: int


class Typing(Struct, tag="typing", tag_field="op"):
    """The person is writing."""

    topic: TopicName


class Present(Struct, tag="presence", tag_field="op"):
    """What the person wants to be seen as."""

    state: State


class Auth(Struct, tag="auth", tag_field="op"):
    """Who this is, or a fresh token for the same account."""

    token: str


class Ping(Struct, tag="ping", tag_field="op"):
    """Answered with `pong`."""


class Pong(Struct, tag="pong", tag_field="op"):
    """The answer to `ping`."""


class Happened(Struct, tag="event", tag_field="op"):
    """Something happened in a topic. Without `seq` it is not kept."""

    topic: str
    type: str
    data: dict[str, Any]
    epoch: str | UnsetType = UNSET
    seq: int | UnsetType = UNSET


SENT = (Subscribe, Unsubscribe, Send, Read, Typing, Present, Auth, Ping)
HEARD = (Subscribed, Happened, Reset, Unsubscribed, Acked, Failed, Pong, Authenticated, Bye)


def with_socket(document: Json, prefixes: Iterable[str], public_url: str) -> Json:
    """The document with the socket as one more channel. `prefixes` are the topics' names before the colon."""
    components = cast("dict[str, Json]", document["components"])
    schemas, parts = msgspec.json.schema_components([*SENT, *HEARD], ref_template="#/components/schemas/{name}")
    messages: Json = {}
    for kind, schema in zip([*SENT, *HEARD], schemas, strict=True):
        name = _name(kind)
        summary = (kind.__doc__ or "").strip().split("\n", 1)[0]
        messages[name] = {"name": name, "contentType": "application/json", "summary": summary, "payload": schema}
    channel: Json = {
        "address": PATH,
        "title": "The socket",
        "description": f"Topics: {', '.join(f'`{p}`' for p in sorted(prefixes))}. See docs/api/socket.md.",
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
        "bindings": {"ws": {"method": "GET", "query": {"type": "object", "properties": {"token": {"type": "string"}}}}},
        "servers": [{"$ref": "#/servers/house"}],
    }
    url = urlsplit(public_url)
    return document | {
        "servers": {"house": {"host": url.netloc, "protocol": "wss" if url.scheme == "https" else "ws"}},
        "channels": cast("Json", document["channels"]) | {CHANNEL: channel},
        "operations": cast("Json", document["operations"])
        | {"socket.say": _operation("receive", SENT), "socket.hear": _operation("send", HEARD)},
        "components": components
        | {"messages": components["messages"] | messages, "schemas": components["schemas"] | cast("Json", parts)},
    }


def _operation(action: Literal["send", "receive"], kinds: tuple[type[Struct], ...]) -> Json:
    """`action` is the server's."""
    return {
        "action": action,
        "channel": {"$ref": f"#/channels/{CHANNEL}"},
        "messages": [{"$ref": f"#/channels/{CHANNEL}/messages/{_name(kind)}"} for kind in kinds],
    }


def _name(kind: type[Struct]) -> str:
    return f"socket.{'say' if kind in SENT else 'hear'}.{kind.__struct_config__.tag}"
