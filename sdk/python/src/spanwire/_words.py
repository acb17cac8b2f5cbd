# SPDX-License-Identifier: Apache-2.0
"""The words of the public surface: a handshake, acks, messages, and what is told of sockets and rooms."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from ._proto import event_pb2

if TYPE_CHECKING:
    from ._remote import RemoteSocket

__all__ = [
    "Acks",
    "Count",
    "Handshake",
    "InstanceAck",
    "InstanceAcks",
    "Message",
    "Rooms",
    "SocketAck",
    "Sockets",
]

class Handshake:
    """What a browser sent when it opened its session and connected to the namespace."""

    __slots__ = ("_auth", "_message")

    def __init__(self, message: event_pb2.Handshake) -> None:
        self._message = message
        self._auth: Any = _UNREAD

    @property
    def url(self) -> str:
        """The request's path and raw query as the browser sent them."""
        return self._message.url

    @property
    def path(self) -> str:
        """The path of the request, still escaped."""
        return urlsplit(self._message.url).path

    @property
    def query_string(self) -> str:
        """The raw query of the request."""
        return self._message.url.partition("?")[2].partition("#")[0]

    @property
    def query(self) -> dict[str, list[str]]:
        """The values of each key of the query, in order.

        It holds every pair. An escape that is none stays as it is written, as in "100%"; bytes that are no UTF-8 become U+FFFD.
        """
        return parse_qs(self.query_string, keep_blank_values=True)

    @property
    def headers(self) -> list[tuple[str, str]]:
        """The header lines, duplicates included; Cookie and Authorization only when the service asked for credentials."""
        return [(header.name, header.value) for header in self._message.headers]

    @property
    def address(self) -> str:
        """The client's address without a port."""
        return self._message.address

    @property
    def secure(self) -> bool:
        """Whether the browser used TLS, as far as the broker can know."""
        return self._message.secure

    @property
    def cross_domain(self) -> bool:
        """Whether the request carried an Origin of another site."""
        return self._message.cross_domain

    @property
    def issued(self) -> float:
        """The time of the opening in seconds since the Unix epoch."""
        return self._message.issued_ms / 1000

    @property
    def auth(self) -> Any:
        """The auth payload of the connect; an empty one when the client sent none."""
        if self._auth is _UNREAD:
            self._auth = json.loads(self._message.auth) if self._message.auth else {}
        return self._auth

    @property
    def sent_auth(self) -> Any:
        """The auth payload as it was sent: None when the client sent none."""
        return self.auth if self._message.auth else None

    @property
    def transport(self) -> str:
        """The transport of the opening: "polling" or "websocket"."""
        return self._message.transport

    @property
    def engine_protocol(self) -> int:
        """The Engine.IO revision of the session."""
        return self._message.engine_protocol

    @property
    def method(self) -> str:
        """The HTTP method of the opening request."""
        return self._message.method or "GET"

    @property
    def host(self) -> str:
        """The Host header of the opening request."""
        return self._message.host


@dataclass(frozen=True)
class SocketAck:
    """The answer of one socket to an emit that asked for acks.

    Attributes:
        socket_id: The socket that answered.
        args: What it answered.
    """

    socket_id: str
    args: list[Any]


@dataclass(frozen=True)
class Acks:
    """What came back of an emit that asked for acks.

    Attributes:
        sockets: How many sockets were reached on the replica that took the command.
        acks: The acks that came; the order means nothing.
        missing: How many sockets were asked and did not answer.
        silent_replicas: The replicas that did not say what their sockets answered; they may have asked them or not.
        dropped: For how many of the sockets the event was dropped; see `Count`.
    """

    sockets: int
    acks: list[SocketAck]
    missing: int
    silent_replicas: tuple[str, ...] = ()
    dropped: int = 0


class Count(int):
    """How many sockets an emit or a command reached.

    Attributes:
        dropped: For how many of them an event was dropped: their queues at the broker were full (setting `max-outbound`), they
            were about to disconnect, or it was volatile and their browsers could not take it at once. Others were queued.
    """

    dropped: int

    def __new__(cls, sockets: int, dropped: int = 0) -> Count:
        """Makes a number of sockets that knows what was dropped."""
        self = super().__new__(cls, sockets)
        self.dropped = dropped
        return self


@dataclass(frozen=True)
class InstanceAck:
    """The answer of one instance to a message.

    Attributes:
        service: The service of the instance.
        instance_id: The instance.
        args: What it answered.
    """

    service: str
    instance_id: str
    args: list[Any]


@dataclass(frozen=True)
class InstanceAcks:
    """What came back of a message that asked for acks.

    Attributes:
        acks: The acks that came; the order means nothing.
        missing: How many instances were asked and did not answer.
        silent_replicas: The replicas that did not say in time what their instances answered.
    """

    acks: list[InstanceAck]
    missing: int
    silent_replicas: tuple[str, ...]


@dataclass(frozen=True)
class Message:
    """What another instance, of this service or another, sent with `server_side_emit`; given to its handler before the arguments.

    Attributes:
        name: The message's name.
        namespace: The namespace that it belongs to.
        service: The service of the sender.
        instance_id: The sender.
    """

    name: str
    namespace: str
    service: str
    instance_id: str


class Sockets(list["RemoteSocket"]):
    """The sockets that were found, in no order.

    Attributes:
        silent_replicas: The replicas that did not answer in time; their sockets are missing.
        truncated: Whether there are more sockets than may be told at once.
    """

    def __init__(
        self, found: Iterable[RemoteSocket] = (), *, silent_replicas: tuple[str, ...] = (), truncated: bool = False
    ) -> None:
        super().__init__(found)
        self.silent_replicas = silent_replicas
        self.truncated = truncated

    @property
    def partial(self) -> bool:
        """Whether something is missing, for either reason."""
        return self.truncated or bool(self.silent_replicas)


class Rooms(dict[str, int]):
    """How many sockets each room has.

    Attributes:
        silent_replicas: The replicas that did not answer in time; their rooms and sockets are missing.
        truncated: Whether there are more rooms than may be told at once.
    """

    def __init__(self, *, silent_replicas: tuple[str, ...] = (), truncated: bool = False) -> None:
        super().__init__()
        self.silent_replicas = silent_replicas
        self.truncated = truncated

    @property
    def partial(self) -> bool:
        """Whether something is missing, for either reason."""
        return self.truncated or bool(self.silent_replicas)


class _Unread:
    """Marks an auth payload that nobody has parsed yet."""


_UNREAD = _Unread()
