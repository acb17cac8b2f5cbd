# SPDX-License-Identifier: Apache-2.0
"""The exceptions of this package.

The tree::

    Exception
    ├── BrokerError                     an error between this program and the broker
    │   ├── BrokerUnavailableError      the broker cannot be reached, or the stream broke
    │   ├── BrokerNotFoundError         no broker program was found to start
    │   ├── RegistrationError           the broker rejected the registrations of this service
    │   ├── CommandError                the broker rejected or could not execute a command
    │   │   ├── ConflictError           the data was changed by another caller meanwhile
    │   │   └── PartialDeliveryError    one replica executed it, and others possibly did not
    │   ├── QueueFullError              the queue to the broker was full for too long
    │   └── AckTimeoutError             no ack arrived in time (a TimeoutError too)
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
    """The base of every error between this program and the broker."""


class BrokerUnavailableError(BrokerError):
    """The broker cannot be reached, or the stream to it broke before an answer arrived.

    Attributes:
        address: The address of the broker.
    """

    def __init__(self, message: str, *, address: str = "") -> None:
        super().__init__(message)
        self.address = address


class BrokerNotFoundError(BrokerError):
    """No broker program was found to start.

    Attributes:
        searched: The places that were searched, in order.
    """

    def __init__(self, message: str, *, searched: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.searched = searched


class RegistrationError(BrokerError):
    """The broker rejected the registrations of this service; a retry will not help."""


class CommandError(BrokerError):
    """The broker rejected a command, or could not execute it everywhere.

    Attributes:
        code: The name of the fault, such as "INVALID", "TOO_LARGE" or "BACKPLANE_UNAVAILABLE".
    """

    def __init__(self, message: str, *, code: str) -> None:
        super().__init__(message)
        self.code = code


class ConflictError(CommandError):
    """Another caller changed the data of a socket meanwhile, so nothing was changed.

    Attributes:
        data: The present data.
        version: The version of the present data.
    """

    def __init__(self, message: str, *, data: Any, version: int) -> None:
        super().__init__(message, code="CONFLICT")
        self.data = data
        self.version = version


class PartialDeliveryError(CommandError):
    """The replica that took a command executed it, and other replicas may not have.

    The replicas cannot reach each other now, or some did not answer in time. To emit again sends
    the event twice to the sockets that were reached, unless the call has the `idempotency_key` of
    the first one, which then returns the outcome of that.

    Attributes:
        sockets: How many sockets were reached, as far as known.
        silent_replicas: The replicas that may not have been reached, as far as known.
    """

    def __init__(self, message: str, *, sockets: int, silent_replicas: tuple[str, ...]) -> None:
        super().__init__(message, code="BACKPLANE_UNAVAILABLE")
        self.sockets = sockets
        self.silent_replicas = silent_replicas


class QueueFullError(BrokerError):
    """The queue to the broker was full for longer than the service's `emit_timeout`.

    Emit less, drop the event, or retry it later; the service continues.

    Attributes:
        queued_bytes: How many bytes are queued.
    """

    def __init__(self, message: str, *, queued_bytes: int) -> None:
        super().__init__(message)
        self.queued_bytes = queued_bytes


class AckTimeoutError(BrokerError, TimeoutError):
    """A socket did not acknowledge an event in time, or does not exist.

    The event may have reached the client nevertheless.

    Attributes:
        event: The name of the event.
    """

    def __init__(self, message: str, *, event: str) -> None:
        super().__init__(message)
        self.event = event


class ConnectionRefusedError(Exception):
    """Refuses a socket when raised in a connect handler.

    The first argument is the message of the browser's `connect_error`; the others become its
    `data`: one value as it is, several as a list.

    Attributes:
        error_args: The arguments.
    """

    def __init__(self, *args: object) -> None:
        super().__init__(*args)
        self.error_args = args
