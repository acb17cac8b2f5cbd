# SPDX-License-Identifier: Apache-2.0
"""Unary calls through the brokers' doors: one connection to one of the addresses, and to the next when that cannot be reached."""

from __future__ import annotations

import os
import queue
import threading
import time
from typing import Any

import grpc

from ._probe import advice
from ._settings import Settings
from .exceptions import BrokerUnavailableError, CommandError

__all__ = ["Doors"]

_CONNECT_TIMEOUT = 3.0  # seconds after which the next address is tried


class _Door:
    """A connection to one address, as far as this process has it."""

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
        """Says whether the connection stands, or can be had in time."""
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


class Doors:
    """Calls brokers. It may be shared by threads, and survives a fork."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        # Guarded by the lock.
        self._lock = threading.Lock()
        self._door: _Door | None = None
        self._index = 0
        self._process = 0

    def close(self) -> None:
        """Closes the connection; the next call opens it again."""
        with self._lock:
            door, self._door = self._door, None
        if door is not None and self._process == os.getpid():
            door.close()

    def call(self, method: str, request: Any, response: Any, timeout: float) -> Any:
        """Calls one broker.

        Args:
            method: The method.
            request: The request; one with an idempotency key may be sent to several brokers.
            response: What comes.
            timeout: How long each may take, in seconds.

        Returns:
            The response.

        Raises:
            BrokerUnavailableError: None can be reached.
            CommandError: The request was refused.
        """
        several = len(self._settings.addresses)
        trouble: Exception | None = None
        for _ in range(several):
            door = self._open()
            if several > 1 and not door.reached(min(timeout, _CONNECT_TIMEOUT)):
                details = advice(door.address, tls=self._settings.tls) or "no connection came about"
                trouble = BrokerUnavailableError(_unreachable(door.address, details), address=door.address)
                self._next(door)
                continue
            call = door.channel.unary_unary(
                method, request_serializer=type(request).SerializeToString, response_deserializer=response.FromString
            )
            try:
                return call(request, timeout=timeout, metadata=self._settings.metadata)
            except grpc.RpcError as error:
                trouble = _translate(error, door.address, tls=self._settings.tls)
                code = error.code()
            if several > 1 and code is grpc.StatusCode.UNAVAILABLE:
                self._next(door)
                # It may have been carried out all the same, so it is only repeated under a key.
                if getattr(request, "idempotency_key", ""):
                    continue
            raise trouble from None
        raise trouble or BrokerUnavailableError("no address of a broker is given")

    def _open(self) -> _Door:
        with self._lock:
            # A channel does not survive a fork; the parent's is left alone.
            if self._door is None or self._process != os.getpid():
                addresses = self._settings.addresses
                self._door = _Door(self._settings, addresses[self._index % len(addresses)])
                self._process = os.getpid()
            return self._door

    def _next(self, door: _Door) -> None:
        """Goes on to the next address, unless another thread did. The connection goes when the calls over it have ended."""
        with self._lock:
            if self._door is not door:
                return
            self._index += 1
            self._door = None


def _unreachable(address: str, details: str) -> str:
    return f"cannot emit through the broker at {address}: {details}. Is it running? SPANWIRE_ADDRESS says where to look"


def _translate(error: Any, address: str, *, tls: bool) -> Exception:
    code, details = error.code(), error.details()
    if code is grpc.StatusCode.UNAVAILABLE and "failed to connect" in (details or ""):
        details = advice(address, tls=tls) or details
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return BrokerUnavailableError(
            f"no answer of the broker at {address} in time: {details}. The call may have been carried out or not; only with an"
            " idempotency_key is it safe to repeat. SPANWIRE_ADDRESS says where to look",
            address=address,
        )
    if code is grpc.StatusCode.UNAVAILABLE:
        return BrokerUnavailableError(
            _unreachable(address, details),
            address=address,
        )
    if code in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED):
        return BrokerUnavailableError(
            f"the broker at {address} does not let this program in: {details}. Set SPANWIRE_TOKEN", address=address
        )
    if code is grpc.StatusCode.UNIMPLEMENTED:
        return BrokerUnavailableError(
            f"what listens at {address} is not a broker's door for services. SPANWIRE_ADDRESS says where to look",
            address=address,
        )
    word = "CONFLICT" if code is grpc.StatusCode.FAILED_PRECONDITION else code.name.removesuffix("_ARGUMENT")
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED and "larger than max" in (details or ""):
        details = f"{details} (the broker's setting max-frame)"  # gRPC says so, which knows no settings
    return CommandError(f"the broker refused: {details}", code=word)
