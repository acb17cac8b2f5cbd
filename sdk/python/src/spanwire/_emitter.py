# SPDX-License-Identifier: Apache-2.0
"""Emits from programs that handle nothing: scripts, cron jobs, shells, task queues."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from typing import Any, NoReturn

import grpc

from . import _commands
from ._emits import Emits
from ._payloads import Codec, Json
from ._proto import command_pb2, emitter_pb2
from ._settings import Settings
from ._target import Target, To
from ._words import Acks, Sockets, Space
from .exceptions import BrokerUnavailableError, CommandError

__all__ = ["Emitter"]

_EMIT = "/spanwire.v1.EmitterService/Emit"
_EXECUTE = "/spanwire.v1.EmitterService/Execute"
_GATHERING = 10.0  # seconds for which acks are gathered unless it is said


class Emitter(Emits[int]):
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
        self, address: str | None = None, *, namespace: Space = "/", timeout: float = 10.0, json: Json | None = None
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

    def _emit(
        self,
        event: str,
        args: tuple[Any, ...],
        to: To,
        except_: str | Iterable[str] | None,
        namespace: Space,
        *,
        volatile: bool = False,
        compress: bool = True,
        link: Any = None,  # noqa: ARG002 - of services
    ) -> int:
        request = emitter_pb2.EmitRequest()
        if not _commands.fill_emit(request.emit, self._codec, event, args, to, except_, namespace):
            return 0
        request.emit.volatile |= volatile
        request.emit.no_compress |= not compress
        return int(self._send(request, self._timeout).sockets)

    def _gather(
        self,
        event: str,
        args: tuple[Any, ...],
        to: To,
        except_: str | Iterable[str] | None,
        namespace: Space,
        timeout: float | None,
        *,
        link: Any = None,  # noqa: ARG002 - of services
    ) -> Acks:
        request = emitter_pb2.EmitRequest()
        if not _commands.fill_emit(request.emit, self._codec, event, args, to, except_, namespace):
            return Acks(sockets=0, acks=[], missing=0)
        if timeout is None:
            timeout = to._timeout if isinstance(to, Target) else None
        if timeout is None:
            timeout = _GATHERING
        request.emit.want_acks = True
        request.emit.ack_timeout_ms = _commands.milliseconds(timeout)
        return _commands.acks(self._codec, self._send(request, timeout + self._timeout))

    def _emit_for_acks(self, *_: Any, **__: Any) -> NoReturn:
        raise RuntimeError("an Emitter has no thread to run a callback on: wait for acks with emit_with_ack")

    def _fetch(self, target: Target, limit: int, *, link: Any = None) -> Sockets:  # noqa: ARG002 - of services
        request = emitter_pb2.ExecuteRequest()
        if not _commands.fill_fetch(request.command, target, limit):
            return Sockets()
        return _commands.sockets(self._codec, self._execute(request, target._timeout), target, self, None)

    def _move(
        self,
        verb: str,
        rooms: tuple[str, ...],
        to: To,
        namespace: Space,
        *,
        link: Any = None,  # noqa: ARG002 - of services
    ) -> None:
        request = emitter_pb2.ExecuteRequest()
        if _commands.fill_move(request.command, verb, rooms, to, namespace):
            self._execute(request)

    def _disconnect(
        self,
        to: To,
        namespace: Space,
        *,
        close_session: bool = False,
        link: Any = None,  # noqa: ARG002 - of services
    ) -> None:
        request = emitter_pb2.ExecuteRequest()
        if _commands.fill_disconnect(request.command, to, namespace, close_session=close_session):
            self._execute(request)

    def _execute(self, request: emitter_pb2.ExecuteRequest, timeout: float | None = None) -> command_pb2.Answer:
        response = self._call(_EXECUTE, request, emitter_pb2.ExecuteResponse, (timeout or 0) + self._timeout)
        answer: command_pb2.Answer = response.answer
        _commands.check(self._codec, answer)
        return answer

    def _send(self, request: emitter_pb2.EmitRequest, timeout: float) -> emitter_pb2.EmitResponse:
        response: emitter_pb2.EmitResponse = self._call(_EMIT, request, emitter_pb2.EmitResponse, timeout)
        return response

    def _call(self, method: str, request: Any, response: Any, timeout: float) -> Any:
        address = self._settings.addresses[0]
        call = self._open().unary_unary(
            method, request_serializer=type(request).SerializeToString, response_deserializer=response.FromString
        )
        try:
            return call(request, timeout=timeout, metadata=self._settings.metadata)
        except grpc.RpcError as error:
            raise _translate(error, address) from None

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
    return CommandError(f"the broker refused: {details}", code=code.name.removesuffix("_ARGUMENT"))
