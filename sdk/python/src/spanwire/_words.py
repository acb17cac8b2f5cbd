# SPDX-License-Identifier: Apache-2.0
"""The words of the public surface: a target, a handshake, acks."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from ._proto import event_pb2

__all__ = ["Acks", "Handshake", "SocketAck", "Target", "names"]


def names(value: str | Iterable[str] | None) -> tuple[str, ...]:
    """Accepts one name or many where many are meant.

    Args:
        value: A name, names, or None for none.

    Returns:
        The names.
    """
    if value is None:
        return ()
    if isinstance(value, str):
        return (value,)
    return tuple(value)


@dataclass(frozen=True)
class Target:
    """Chooses sockets of one namespace.

    Attributes:
        rooms: Rooms; a socket in any of them is chosen, once. Every socket is in the room named by its id. None means
            every socket of the namespace; an empty list means none.
        except_: Rooms (and socket ids) whose sockets are left out.
        namespace: The namespace, with its slash.
        local: Limits the target to the replica that takes the call.
    """

    rooms: str | Iterable[str] | None = None
    except_: str | Iterable[str] | None = None
    namespace: str = "/"
    local: bool = False


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
        return urlsplit(self._message.url).query

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
    """

    sockets: int
    acks: list[SocketAck]
    missing: int


class _Unread:
    """Marks an auth payload that nobody has parsed yet."""


_UNREAD = _Unread()
