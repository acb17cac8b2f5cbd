# SPDX-License-Identifier: Apache-2.0
"""The public value types: handshakes, acks, messages, and the results of queries."""

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
    """The handshake of a browser: the request that opened its session, and its auth payload.

    Connect handlers use it to authenticate the client.
    """

    __slots__ = ("_auth", "_message")

    def __init__(self, message: event_pb2.Handshake) -> None:
        self._message = message
        self._auth: Any = _UNREAD

    @property
    def url(self) -> str:
        """The path and the raw query of the request, as the browser sent them."""
        return self._message.url

    @property
    def path(self) -> str:
        """The path of the request, with its escapes."""
        return urlsplit(self._message.url).path

    @property
    def query_string(self) -> str:
        """The raw query of the request."""
        return self._message.url.partition("?")[2].partition("#")[0]

    @property
    def query(self) -> dict[str, list[str]]:
        """The values of each key of the query, in order.

        It holds every pair. An invalid escape stays as it is written, as in "100%"; bytes that are
        not UTF-8 become U+FFFD.
        """
        return parse_qs(self.query_string, keep_blank_values=True)

    @property
    def headers(self) -> list[tuple[str, str]]:
        """The header lines, duplicates included.

        Cookie and Authorization are present only when the service registered with `credentials`.
        """
        return [(header.name, header.value) for header in self._message.headers]

    @property
    def address(self) -> str:
        """The client's address without a port."""
        return self._message.address

    @property
    def secure(self) -> bool:
        """Whether the browser used TLS, as far as the broker knows."""
        return self._message.secure

    @property
    def cross_domain(self) -> bool:
        """Whether the request has an Origin of another site."""
        return self._message.cross_domain

    @property
    def issued(self) -> float:
        """The time of the handshake in seconds since the Unix epoch."""
        return self._message.issued_ms / 1000

    @property
    def auth(self) -> Any:
        """The auth payload of the connect; empty when the client sent none."""
        if self._auth is _UNREAD:
            self._auth = json.loads(self._message.auth) if self._message.auth else {}
        return self._auth

    @property
    def sent_auth(self) -> Any:
        """The auth payload as the client sent it; None when it sent none."""
        return self.auth if self._message.auth else None

    @property
    def transport(self) -> str:
        """The first transport: "polling" or "websocket"."""
        return self._message.transport

    @property
    def engine_protocol(self) -> int:
        """The Engine.IO revision of the session."""
        return self._message.engine_protocol

    @property
    def method(self) -> str:
        """The HTTP method of the request."""
        return self._message.method or "GET"

    @property
    def host(self) -> str:
        """The Host header of the request."""
        return self._message.host


@dataclass(frozen=True)
class SocketAck:
    """The ack of one socket.

    Attributes:
        socket_id: The socket.
        args: The arguments of the ack.
    """

    socket_id: str
    args: list[Any]


@dataclass(frozen=True)
class Acks:
    """The acks of an emit.

    Attributes:
        sockets: How many sockets were reached on the replica that took the command.
        acks: The acks that arrived, in no order.
        missing: How many sockets did not answer.
        silent_replicas: The replicas that did not report the acks of their sockets; they may have
            sent the event or not.
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
        dropped: For how many of them an event was dropped: their queues at the broker were full
            (setting `max-outbound`), they were about to disconnect, or it was volatile and their
            browsers could not take it at once. For the others it was queued.
    """

    dropped: int

    def __new__(cls, sockets: int, dropped: int = 0) -> Count:
        """Makes the number with its attribute."""
        self = super().__new__(cls, sockets)
        self.dropped = dropped
        return self


@dataclass(frozen=True)
class InstanceAck:
    """The ack of one instance.

    Attributes:
        service: The service of the instance.
        instance_id: The instance.
        args: The arguments of the ack.
    """

    service: str
    instance_id: str
    args: list[Any]


@dataclass(frozen=True)
class InstanceAcks:
    """The acks of a message.

    Attributes:
        acks: The acks that arrived, in no order.
        missing: How many instances did not answer.
        silent_replicas: The replicas that did not report the acks of their instances in time.
    """

    acks: list[InstanceAck]
    missing: int
    silent_replicas: tuple[str, ...]


@dataclass(frozen=True)
class Message:
    """A message that another instance sent with `server_side_emit`.

    The instance may belong to this service or another one. The handler receives the message before
    the arguments.

    Attributes:
        name: The message's name.
        namespace: The namespace of the message.
        service: The service of the sender.
        instance_id: The instance of the sender.
    """

    name: str
    namespace: str
    service: str
    instance_id: str


class Sockets(list["RemoteSocket"]):
    """The sockets that a query found, in no order.

    Attributes:
        silent_replicas: The replicas that did not answer in time; their sockets are missing.
        truncated: Whether there are more sockets than the limit.
    """

    def __init__(
        self, found: Iterable[RemoteSocket] = (), *, silent_replicas: tuple[str, ...] = (), truncated: bool = False
    ) -> None:
        super().__init__(found)
        self.silent_replicas = silent_replicas
        self.truncated = truncated

    @property
    def partial(self) -> bool:
        """Whether sockets are missing, for either reason."""
        return self.truncated or bool(self.silent_replicas)


class Rooms(dict[str, int]):
    """The number of sockets of each room.

    Attributes:
        silent_replicas: The replicas that did not answer in time; their rooms and sockets are
            missing.
        truncated: Whether there are more rooms than the limit.
    """

    def __init__(self, *, silent_replicas: tuple[str, ...] = (), truncated: bool = False) -> None:
        super().__init__()
        self.silent_replicas = silent_replicas
        self.truncated = truncated

    @property
    def partial(self) -> bool:
        """Whether rooms or sockets are missing, for either reason."""
        return self.truncated or bool(self.silent_replicas)


class _Unread:
    """Marks an auth payload that was not parsed yet."""


_UNREAD = _Unread()
