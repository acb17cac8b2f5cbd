# SPDX-License-Identifier: Apache-2.0
"""The event that the running handler handles, beside its arguments."""

from __future__ import annotations

from dataclasses import dataclass

from ._invoker import coroutine_item
from ._records import Dispatch
from ._scheduler import current_item

__all__ = ["Event", "current_event"]


@dataclass(frozen=True)
class Event:
    """The event that is being handled.

    Attributes:
        id: The id in the whole cluster; a redelivery has the same.
        redeliveries: How often it was delivered before, to this or another instance.
        name: The event's name, "connect" or "disconnect"; the message's name; the change of the
            room.
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
    """Returns the event that the calling handler handles.

    Use it for idempotent handlers: the id of an event is the same in a redelivery.

    Returns:
        The event; None outside of handlers, and in threads and callbacks that they started.
    """
    item = current_item() or coroutine_item.get()
    if not isinstance(item, Dispatch):
        return None
    message = item.message
    return Event(item.id, message.redeliveries, item.name, item.socket.namespace, item.socket.id, message.wants_ack)
