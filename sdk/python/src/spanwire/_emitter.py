# SPDX-License-Identifier: Apache-2.0
"""Emits from programs that handle nothing: scripts, cron jobs, shells, task queues."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from typing import Any

import grpc

from . import _commands
from ._payloads import Codec, Json
from ._proto import emitter_pb2
from ._settings import Settings
from ._words import Acks
from .exceptions import BrokerUnavailableError, CommandError

__all__ = ["Emitter"]

_METHOD = "/spanwire.v1.EmitterService/Emit"


class Emitter:
    """Sends events through the broker, one call each; no handlers, no stream.

    Example::

        with Emitter("127.0.0.1:50051") as emitter:
            emitter.emit("my response", {"data": 1})

    It may be shared by threads, and survives a fork.

    Args:
        address: Where the broker's door for services is; `SPANWIRE_ADDRESS` when None.
        namespace: The namespace that emits go to unless they name one.
        timeout: How long one emit may take, in seconds.
        json: A stand-in for the `json` module.
    """

    def __init__(
        self, address: str | None = None, *, namespace: str = "/", timeout: float = 10.0, json: Json | None = None
    ) -> None:
        self._settings = Settings.read(address)
        self._namespace = namespace
        self._timeout = timeout
        self._codec = Codec(json)
        self._lock = threading.Lock()
        self._channel: grpc.Channel | None = None
        self._process = 0

    def __enter__(self) -> Emitter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connection; the next emit opens it again."""
        with self._lock:
            channel, self._channel = self._channel, None
        if channel is not None and self._process == os.getpid():
            channel.close()

    def emit(
        self,
        event: str,
        *args: Any,
        to: _commands.Rooms = None,
        except_: str | Iterable[str] | None = None,
        namespace: str | None = None,
        volatile: bool = False,
        compress: bool = True,
    ) -> int:
        """Sends an event. Returns when local sockets have been served and the other replicas have been told.

        Args:
            event: The event's name.
            *args: The arguments; a lone tuple means several.
            to: A room or socket id, several, a `Target`, or None for the whole namespace.
            except_: Rooms and socket ids to leave out.
            namespace: The namespace.
            volatile: Allows the event to be dropped for browsers that cannot take it right now.
            compress: Whether the event may be compressed.

        Returns:
            How many sockets were reached on the replica that took the call.

        Raises:
            TypeError: An argument cannot be sent.
            BrokerUnavailableError: The broker cannot be reached.
            CommandError: The broker refused the emit.
        """
        request = emitter_pb2.EmitRequest()
        space = self._namespace if namespace is None else namespace
        if not _commands.fill_emit(request.emit, self._codec, event, args, to, except_, space):
            return 0
        request.emit.volatile = volatile
        request.emit.no_compress = not compress
        return int(self._send(request, self._timeout).sockets)

    def emit_with_ack(
        self,
        event: str,
        *args: Any,
        to: _commands.Rooms = None,
        except_: str | Iterable[str] | None = None,
        namespace: str | None = None,
        timeout: float = 10.0,
    ) -> Acks:
        """Sends an event and gathers the acks.

        Args:
            event: The event's name.
            *args: The arguments; a lone tuple means several.
            to: A room or socket id, several, a `Target`, or None for the whole namespace.
            except_: Rooms and socket ids to leave out.
            namespace: The namespace.
            timeout: How long to gather, in seconds.

        Returns:
            The acks that came in time, and how many did not.

        Raises:
            TypeError: An argument cannot be sent.
            BrokerUnavailableError: The broker cannot be reached.
            CommandError: The broker refused the emit.
        """
        request = emitter_pb2.EmitRequest()
        space = self._namespace if namespace is None else namespace
        if not _commands.fill_emit(request.emit, self._codec, event, args, to, except_, space):
            return Acks(sockets=0, acks=[], missing=0)
        request.emit.want_acks = True
        request.emit.ack_timeout_ms = max(1, round(timeout * 1000))
        return _commands.acks(self._codec, self._send(request, timeout + self._timeout))

    def _send(self, request: emitter_pb2.EmitRequest, timeout: float) -> emitter_pb2.EmitResponse:
        address = self._settings.addresses[0]
        call = self._open().unary_unary(
            _METHOD,
            request_serializer=emitter_pb2.EmitRequest.SerializeToString,
            response_deserializer=emitter_pb2.EmitResponse.FromString,
        )
        try:
            response: emitter_pb2.EmitResponse = call(request, timeout=timeout, metadata=self._settings.metadata)
        except grpc.RpcError as error:
            raise _translate(error, address) from None
        return response

    def _open(self) -> grpc.Channel:
        with self._lock:
            # A channel does not survive a fork; the parent's is left alone.
            if self._channel is None or self._process != os.getpid():
                self._channel = self._settings.channel(self._settings.addresses[0])
                self._process = os.getpid()
            return self._channel


def _translate(error: Any, address: str) -> Exception:
    code, details = error.code(), error.details()
    if code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
        return BrokerUnavailableError(
            f"cannot emit through the broker at {address}: {details}. Is it running? SPANWIRE_ADDRESS says where to look",
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
    return CommandError(f"the broker refused the emit: {details}", code=code.name.removesuffix("_ARGUMENT"))
