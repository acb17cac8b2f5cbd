# SPDX-License-Identifier: Apache-2.0
"""What the running handler can learn of its event beside its arguments."""

from __future__ import annotations

from dataclasses import dataclass

from ._crew import here
from ._performer import coroutine_item
from ._records import Dispatch

__all__ = ["Event", "current_event"]


@dataclass(frozen=True)
class Event:
    """What is being handled.

    Attributes:
        id: Identifies it in the whole cluster, the same when it is handed out again.
        redeliveries: How often it was handed out before, to this or another instance.
        name: The event's name, "connect" or "disconnect"; the message's name; what happened to the room.
        namespace: The namespace.
        socket_id: The socket's id; empty for a message.
        wants_ack: Whether the browser waits for an ack.
    """

    id: int
    redeliveries: int
    name: str
    namespace: str
    socket_id: str
    wants_ack: bool


def current_event() -> Event | None:
    """Tells what the calling handler handles.

    Returns:
        The event; None outside of handlers, and in threads and callbacks that they started.
    """
    item = here() or coroutine_item.get()
    if not isinstance(item, Dispatch):
        return None
    message = item.message
    return Event(item.id, message.redeliveries, item.name, item.socket.namespace, item.socket.id, message.wants_ack)
