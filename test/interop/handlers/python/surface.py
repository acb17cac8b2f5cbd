# SPDX-License-Identifier: Apache-2.0
"""The commands of handlers beside emits; surface.go is the same in Go."""

import re
from typing import Any

import spanwire


def surface(service: spanwire.Service) -> None:
    """Registers the handlers of the main namespace."""

    @service.on("fetch")
    def fetch(_socket: spanwire.Socket, room: str) -> Any:
        found = service.to(room).fetch_sockets()
        # Nothing is kept with a socket at first, which JSON calls null.
        return [
            {"id": s.id, "rooms": s.rooms, "data": s.data if s.data_version else None, "address": s.handshake.address}
            for s in found
        ]

    @service.on("set data")
    def set_data(socket: spanwire.Socket, data: Any) -> Any:
        socket.set_data(data)
        return socket.data

    @service.on("rooms")
    def rooms(socket: spanwire.Socket) -> Any:
        return socket.rooms()

    @service.on("all rooms")
    def all_rooms(_socket: spanwire.Socket) -> Any:
        return tuple(sorted(service.rooms()))

    @service.on("move")
    def move(_socket: spanwire.Socket, m: dict[str, str]) -> None:
        service.to(m["to"]).sockets_join(m["join"])
        service.to(m["join"]).sockets_leave(m["leave"])

    @service.on_message("repeat")
    def repeat(_message: spanwire.Message, text: str) -> str:
        return text

    @service.on("server side")
    def server_side(_socket: spanwire.Socket, text: str) -> Any:
        acks = service.server_side_emit_with_ack("repeat", text)
        return {"answers": [ack.args for ack in acks.acks], "missing": acks.missing}


def dynamic(service: spanwire.Service, namespace: re.Pattern[str]) -> None:
    """Registers the handlers of the namespaces that a pattern matches."""

    @service.on_connect(namespace=namespace)
    def connect(_socket: spanwire.Socket) -> None:
        pass

    @service.on("where", namespace=namespace)
    def where(socket: spanwire.Socket) -> str:
        return socket.namespace

    @service.on("auth", namespace=namespace)
    def auth(socket: spanwire.Socket) -> Any:
        return socket.handshake.auth

    @service.on("shout", namespace=namespace)
    def shout(socket: spanwire.Socket, text: str) -> None:
        service.of(socket.namespace).emit("shouted", text)

    @service.on("shout to all", namespace=namespace)
    def shout_to_all(_socket: spanwire.Socket, text: str) -> None:
        service.of(namespace).emit("shouted", text)


def notified(service: spanwire.Service, namespace: str) -> None:
    """Registers the handlers of a namespace that records the changes of its rooms."""

    @service.on("join", namespace=namespace)
    def join(socket: spanwire.Socket, room: str) -> None:
        socket.join(room)

    @service.on("leave", namespace=namespace)
    def leave(socket: spanwire.Socket, room: str) -> None:
        socket.leave(room)

    @service.on_room(namespace=namespace)
    def room(socket: spanwire.Socket, change: str, name: str) -> None:
        socket.emit("room", change, name)
