# SPDX-License-Identifier: Apache-2.0
"""Socket.IO handlers in Python, behind a broker that keeps the browsers.

A `Service` dials the broker and is given the events of browsers; an `Emitter` only emits; `spanwire.flask` is a drop-in for
Flask-SocketIO. This package keeps no browser connections, patches nothing, and works beside any web server.
"""

from ._emitter import Emitter
from ._service import Service
from ._socket import Socket
from ._version import __version__
from ._words import Acks, Handshake, SocketAck, Target
from .exceptions import (
    AckTimeoutError,
    BrokerError,
    BrokerNotFoundError,
    BrokerUnavailableError,
    CommandError,
    ConnectionRefusedError,
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
    "ConnectionRefusedError",
    "Emitter",
    "Handshake",
    "QueueFullError",
    "RegistrationError",
    "Service",
    "Socket",
    "SocketAck",
    "Target",
    "__version__",
]
