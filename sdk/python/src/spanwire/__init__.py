# SPDX-License-Identifier: Apache-2.0
"""Socket.IO handlers in Python, behind a broker that keeps the browsers.

A `Service` dials the broker and is given the events of browsers; an `Emitter` only emits; `spanwire.flask` is a drop-in for
Flask-SocketIO. This package keeps no browser connections, patches nothing, and works beside any web server.
"""

from ._duplicates import Deduplicator, DuplicateStore
from ._emitter import Emitter
from ._event import Event, current_event
from ._remote import RemoteSocket
from ._service import Service
from ._socket import Socket
from ._target import Target
from ._version import __version__
from ._words import Acks, Count, Handshake, InstanceAck, InstanceAcks, Message, Rooms, SocketAck, Sockets
from .exceptions import (
    AckTimeoutError,
    BrokerError,
    BrokerNotFoundError,
    BrokerUnavailableError,
    CommandError,
    ConflictError,
    ConnectionRefusedError,
    PartialDeliveryError,
    QueueFullError,
    RegistrationError,
)

__all__ = [
    "AckTimeoutError",
    "Acks",
    "BrokerError",
    "BrokerNotFoundError",
    "BrokerUnavailableError",
    "CommandError",
    "ConflictError",
    "ConnectionRefusedError",
    "Count",
    "Deduplicator",
    "DuplicateStore",
    "Emitter",
    "Event",
    "Handshake",
    "InstanceAck",
    "InstanceAcks",
    "Message",
    "PartialDeliveryError",
    "QueueFullError",
    "RegistrationError",
    "RemoteSocket",
    "Rooms",
    "Service",
    "Socket",
    "SocketAck",
    "Sockets",
    "Target",
    "__version__",
    "current_event",
]
