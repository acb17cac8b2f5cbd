# SPDX-License-Identifier: Apache-2.0
"""Socket.IO handlers in Python, with the browsers' connections in a broker.

A `Service` attaches to the broker and handles the events of browsers; an `Emitter` only emits;
`spanwire.flask` replaces Flask-SocketIO. This package keeps no connections of browsers, patches
nothing, and works beside any web server.
"""

from ._duplicates import Deduplicator, DuplicateStore
from ._emitter import Emitter
from ._event import Event, current_event
from ._remote import RemoteSocket
from ._service import Service
from ._socket import Socket
from ._target import Target
from ._values import Acks, Count, Handshake, InstanceAck, InstanceAcks, Message, Rooms, SocketAck, Sockets
from ._version import __version__
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
