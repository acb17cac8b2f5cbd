# SPDX-License-Identifier: Apache-2.0
"""Dialling one address of a broker: the pauses, the wait for a connection, and the failures."""

from __future__ import annotations

import contextlib
import queue
import random
import threading
import time
from typing import Any

import grpc

from . import _log
from ._probe import advice

__all__ = ["HINT", "Failures", "connected", "pause_before"]

HINT = "start the broker, or set SPANWIRE_ADDRESS to its service-address"

_CONNECT_TIMEOUT = 5.0
_FIRST_PAUSE = 0.05


def pause_before(attempt: int, longest: float) -> float:
    """Returns how long to wait before another attempt.

    Args:
        attempt: How many attempts have failed.
        longest: The longest pause, in seconds.

    Returns:
        The pause in seconds, with jitter, so that the instances of a service do not all return at
        the same time.
    """
    pause: float = min(longest, _FIRST_PAUSE * 2 ** min(attempt - 1, 10))
    return pause * random.uniform(0.5, 1.0)  # noqa: S311 - no secret


def connected(channel: grpc.Channel, stopping: threading.Event) -> bool:
    """Waits until a channel has connected or failed, or the service stops.

    Args:
        channel: The channel.
        stopping: Set when the service stops, which ends the wait.

    Returns:
        Whether it has connected.
    """
    outcome: queue.SimpleQueue[bool] = queue.SimpleQueue()

    def changed(state: grpc.ChannelConnectivity) -> None:
        if state is grpc.ChannelConnectivity.READY:
            outcome.put(True)
        elif state is grpc.ChannelConnectivity.TRANSIENT_FAILURE:
            outcome.put(False)

    channel.subscribe(changed, try_to_connect=True)
    try:
        deadline = time.monotonic() + _CONNECT_TIMEOUT
        while time.monotonic() < deadline and not stopping.is_set():
            with contextlib.suppress(queue.Empty):
                return outcome.get(timeout=0.1)
        return False
    finally:
        channel.unsubscribe(changed)


class Failures:
    """The failed attempts to attach at one address, since the last welcome.

    Args:
        address: The address.
        tls: Whether it is dialled with TLS.
        learned: Whether a broker listed the address. It may be unreachable by design, and its
            replica's sockets are then served through peers, so its failures are no warnings.
    """

    def __init__(self, address: str, *, tls: bool, learned: bool) -> None:
        self._address = address
        self._tls = tls
        self._learned = learned
        self._count = 0
        self._probed = ""

    def clear(self) -> None:
        """Notes a welcome."""
        self._count = 0

    def unreachable(self) -> str:
        """Returns what is wrong with an address without a connection.

        The address is probed only when the result will be logged.
        """
        if not self._probed or self._logs(self._count + 1):
            self._probed = advice(self._address, tls=self._tls) or f"no connection ({HINT})"
        return f"attach: cannot reach the broker at {self._address}: {self._probed}"

    def failed(self, error: Any) -> str:
        """Returns what was wrong with a stream without a welcome.

        Args:
            error: The error of the call.

        Returns:
            A sentence with the fix.
        """
        code, details, address = error.code(), error.details(), self._address
        if code in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED):
            return f"attach: the broker at {address} rejected the token: {details} (set SPANWIRE_TOKEN)"
        if code is grpc.StatusCode.UNIMPLEMENTED:
            return f"attach: what listens at {address} is not a broker's service listener ({HINT})"
        return f"attach: no stream to the broker at {address}: {details} ({HINT})"

    def log(self, trouble: str) -> None:
        """Logs the first failure, then ever fewer, since a link never stops dialling.

        Args:
            trouble: What was wrong.
        """
        self._count += 1
        if self._learned:
            write = _log.info if self._count == 1 else _log.debug
        elif self._logs(self._count):
            write = _log.warning
        else:
            return
        write("attaching failed; trying again", address=self._address, err=trouble, count=self._count)

    @staticmethod
    def _logs(count: int) -> bool:
        return count & (count - 1) == 0
