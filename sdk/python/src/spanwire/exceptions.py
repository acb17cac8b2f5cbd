# SPDX-License-Identifier: Apache-2.0
"""Everything that this package raises on purpose.

The tree::

    Exception
    ├── BrokerError                     something between this program and the broker went wrong
    │   ├── BrokerUnavailableError      the broker cannot be reached, or not any more
    │   ├── BrokerNotFoundError         no broker program was found to start
    │   ├── RegistrationError           the broker refused what this service registered
    │   ├── CommandError                the broker refused or could not carry out a command
    │   │   ├── ConflictError           what was to be changed was changed by somebody else
    │   │   └── PartialDeliveryError    it was carried out by one replica, and possibly not by others
    │   ├── QueueFullError              more was emitted than the broker takes, for too long
    │   └── AckTimeoutError             nobody answered in time (a TimeoutError too)
    └── ConnectionRefusedError          raise it in a connect handler to refuse the socket

Facts are attributes; messages are for people.
"""

from __future__ import annotations

from typing import Any

__all__ = [
    "AckTimeoutError",
    "BrokerError",
    "BrokerNotFoundError",
    "BrokerUnavailableError",
    "CommandError",
    "ConflictError",
    "ConnectionRefusedError",
    "PartialDeliveryError",
    "QueueFullError",
    "RegistrationError",
]


class BrokerError(Exception):
    """Base of every error between this program and the broker."""


class BrokerUnavailableError(BrokerError):
    """The broker cannot be reached, or the stream to it broke before an answer came.

    Attributes:
        address: Where the broker was looked for.
    """

    def __init__(self, message: str, *, address: str = "") -> None:
        super().__init__(message)
        self.address = address


class BrokerNotFoundError(BrokerError):
    """No broker program was found to start.

    Attributes:
        searched: The places that were looked at, in order.
    """

    def __init__(self, message: str, *, searched: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.searched = searched


class RegistrationError(BrokerError):
    """The broker refused what this service registered; trying again will not help."""


class CommandError(BrokerError):
    """The broker refused a command, or could not carry it out everywhere.

    Attributes:
        code: The fault's name, such as "INVALID", "TOO_LARGE" or "BACKPLANE_UNAVAILABLE".
    """

    def __init__(self, message: str, *, code: str) -> None:
        super().__init__(message)
        self.code = code


class ConflictError(CommandError):
    """The data of a socket was changed by somebody else meanwhile, so nothing was changed.

    Attributes:
        data: The data that is there now.
        version: Its version.
    """

    def __init__(self, message: str, *, data: Any, version: int) -> None:
        super().__init__(message, code="CONFLICT")
        self.data = data
        self.version = version


class PartialDeliveryError(CommandError):
    """A command was carried out by the replica that took it, and may not have been by others.

    The replicas cannot reach each other now, or some did not answer in time. To emit again sends the event twice to those that
    were reached, unless it is done with the `idempotency_key` of the first call, which then tells what became of that.

    Attributes:
        sockets: How many sockets were reached, as far as it is known.
        silent_replicas: The replicas that may not have been reached, as far as they are known.
    """

    def __init__(self, message: str, *, sockets: int, silent_replicas: tuple[str, ...]) -> None:
        super().__init__(message, code="BACKPLANE_UNAVAILABLE")
        self.sockets = sockets
        self.silent_replicas = silent_replicas


class QueueFullError(BrokerError):
    """More was emitted than the broker took, for longer than the service's `emit_timeout`.

    Attributes:
        queued_bytes: How much is waiting.
    """

    def __init__(self, message: str, *, queued_bytes: int) -> None:
        super().__init__(message)
        self.queued_bytes = queued_bytes


class AckTimeoutError(BrokerError, TimeoutError):
    """A socket that was asked for an ack did not answer in time, or was not there.

    Attributes:
        event: The event that was not answered.
    """

    def __init__(self, message: str, *, event: str) -> None:
        super().__init__(message)
        self.event = event


class ConnectionRefusedError(Exception):
    """Refuses a socket when raised in a connect handler.

    The first argument is the message of the browser's `connect_error`; what follows becomes its `data`: one value as it is,
    several as a list.

    Attributes:
        error_args: The arguments as given.
    """

    def __init__(self, *args: object) -> None:
        super().__init__(*args)
        self.error_args = args
