# SPDX-License-Identifier: Apache-2.0
"""Unary calls to brokers, over one connection that changes its address when one fails."""

from __future__ import annotations

import os
import queue
import threading
import time
from typing import Any

import grpc

from ._dial import HINT
from ._probe import advice
from ._settings import Settings
from .exceptions import BrokerUnavailableError, CommandError

__all__ = ["UnaryClient"]

_CONNECT_TIMEOUT = 3.0  # seconds after which the next address is tried


class _Connection:
    """A connection to one address."""

    def __init__(self, settings: Settings, address: str) -> None:
        self.address = address
        self.channel = settings.channel(address)
        self._states: queue.SimpleQueue[grpc.ChannelConnectivity] = queue.SimpleQueue()
        self._state = grpc.ChannelConnectivity.IDLE
        self._watched = False

    def _changed(self, state: grpc.ChannelConnectivity) -> None:
        self._state = state
        self._states.put(state)

    def reached(self, timeout: float) -> bool:
        """Returns whether the connection is ready, or becomes so in time."""
        if not self._watched:
            self._watched = True
            self.channel.subscribe(self._changed, try_to_connect=True)
        deadline = time.monotonic() + timeout
        while self._state is not grpc.ChannelConnectivity.READY:
            if self._state is grpc.ChannelConnectivity.TRANSIENT_FAILURE:
                return False
            try:
                self._states.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                return False
        return True

    def close(self) -> None:
        """Closes the connection."""
        if self._watched:
            self.channel.unsubscribe(self._changed)
        self.channel.close()


class UnaryClient:
    """Calls brokers. Threads may share it, and it survives a fork."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        # Guarded by the lock.
        self._lock = threading.Lock()
        self._connection: _Connection | None = None
        self._index = 0
        self._process = 0

    def close(self) -> None:
        """Closes the connection; the next call opens it again."""
        with self._lock:
            connection, self._connection = self._connection, None
        if connection is not None and self._process == os.getpid():
            connection.close()

    def call(self, method: str, request: Any, response: Any, timeout: float) -> Any:
        """Calls one broker.

        Args:
            method: The method.
            request: The request; one with an idempotency key may be sent to several brokers.
            response: The class of the response.
            timeout: How long each call may take, in seconds.

        Returns:
            The response.

        Raises:
            BrokerUnavailableError: No broker can be reached.
            CommandError: The broker rejected the request.
        """
        several = len(self._settings.addresses)
        trouble: Exception | None = None
        for _ in range(several):
            connection = self._open()
            if several > 1 and not connection.reached(min(timeout, _CONNECT_TIMEOUT)):
                details = advice(connection.address, tls=self._settings.tls) or f"no connection ({HINT})"
                trouble = BrokerUnavailableError(_unreachable(connection.address, details), address=connection.address)
                self._next(connection)
                continue
            call = connection.channel.unary_unary(
                method, request_serializer=type(request).SerializeToString, response_deserializer=response.FromString
            )
            try:
                return call(request, timeout=timeout, metadata=self._settings.metadata)
            except grpc.RpcError as error:
                trouble = _translate(error, connection.address, tls=self._settings.tls)
                code = error.code()
            if several > 1 and code is grpc.StatusCode.UNAVAILABLE:
                self._next(connection)
                # The broker may have executed it nevertheless, so only a call with a key is
                # repeated.
                if getattr(request, "idempotency_key", ""):
                    continue
            raise trouble from None
        raise trouble or BrokerUnavailableError("call: no address of a broker is given (set SPANWIRE_ADDRESS)")

    def _open(self) -> _Connection:
        with self._lock:
            # A channel does not survive a fork; the parent's is left alone.
            if self._connection is None or self._process != os.getpid():
                addresses = self._settings.addresses
                self._connection = _Connection(self._settings, addresses[self._index % len(addresses)])
                self._process = os.getpid()
            return self._connection

    def _next(self, connection: _Connection) -> None:
        """Changes to the next address, unless another thread did.

        The connection closes when the calls over it have ended.
        """
        with self._lock:
            if self._connection is not connection:
                return
            self._index += 1
            self._connection = None


def _unreachable(address: str, details: str) -> str:
    return f"call: cannot reach the broker at {address}: {details}"


def _translate(error: Any, address: str, *, tls: bool) -> Exception:
    code, details = error.code(), error.details()
    if code is grpc.StatusCode.UNAVAILABLE and "failed to connect" in (details or ""):
        details = advice(address, tls=tls) or details
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return BrokerUnavailableError(
            f"call: no answer of the broker at {address} in time: {details} (the call may have been executed; repeat it"
            " only with an idempotency_key, and check SPANWIRE_ADDRESS)",
            address=address,
        )
    if code is grpc.StatusCode.UNAVAILABLE:
        return BrokerUnavailableError(
            _unreachable(address, details),
            address=address,
        )
    if code in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED):
        return BrokerUnavailableError(
            f"call: the broker at {address} rejected the token: {details} (set SPANWIRE_TOKEN)", address=address
        )
    if code is grpc.StatusCode.UNIMPLEMENTED:
        return BrokerUnavailableError(
            f"call: what listens at {address} is not a broker's service listener ({HINT})",
            address=address,
        )
    word = "CONFLICT" if code is grpc.StatusCode.FAILED_PRECONDITION else code.name.removesuffix("_ARGUMENT")
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED and "larger than max" in (details or ""):
        # Added here, since gRPC's text names no setting.
        details = f"{details} (the broker's setting max-frame)"
    return CommandError(f"call: rejected by the broker: {details}", code=word)
