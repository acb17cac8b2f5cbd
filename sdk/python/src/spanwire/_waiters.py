# SPDX-License-Identifier: Apache-2.0
"""Waiters for the answer to a command: a thread, or a callback."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from . import _log
from ._memory import Memory
from ._payloads import Codec
from ._proto import command_pb2
from ._records import SocketState
from ._routes import Route

__all__ = ["AnswerWaiter", "CallbackWaiter", "FutureWaiter", "Task"]


class Task:
    """A function to run in order with the events of a socket.

    Attributes:
        socket: The socket.
        route: The route of the function, which the scheduler needs to recognise slow ones.
    """

    __slots__ = ("_run", "route", "socket")

    def __init__(self, socket: SocketState, route: Route, run: Callable[[], None]) -> None:
        self.socket = socket
        self.route: Route | None = route
        self._run = run

    def run(self) -> None:
        """Runs it. Never raises."""
        try:
            self._run()
        except BaseException as error:
            _log.error("callback failed", exception=error)


class FutureWaiter:
    """A waiting thread.

    Attributes:
        event: Set when the answer has arrived, or will not arrive.
        answer: The answer; None when it will not arrive.
    """

    __slots__ = ("answer", "event")

    def __init__(self) -> None:
        self.event = threading.Event()
        self.answer: command_pb2.Answer | None = None

    def settle(self, answer: command_pb2.Answer | None) -> Sequence[Any]:
        """Takes the answer."""
        self.answer = answer
        self.event.set()
        return ()


class AnswerWaiter:
    """A function that runs once with the answer, beside all handlers."""

    __slots__ = ("_callback",)

    def __init__(self, callback: Callable[[command_pb2.Answer], Any]) -> None:
        self._callback = callback

    def settle(self, answer: command_pb2.Answer | None) -> Sequence[Any]:
        """Takes the answer. A rejection, or an answer that will not arrive, is dropped."""
        if answer is None:
            return ()
        if answer.HasField("fault"):
            _log.warning("broker rejected a command with a callback", err=answer.fault.message)
            return ()
        return (Task(SocketState("", "/", 0), _route(self._callback), lambda: self._callback(answer)),)


class CallbackWaiter:
    """A callback that runs for each ack.

    It runs in order with the events of the origin, or else of the socket that answered.
    """

    __slots__ = ("_callback", "_codec", "_memory", "_origin", "_route")

    def __init__(
        self,
        memory: Memory,
        codec: Codec,
        callback: Callable[..., Any],
        origin: SocketState | None,
    ) -> None:
        self._memory = memory
        self._codec = codec
        self._callback = callback
        self._origin = origin
        self._route = _route(callback)

    def settle(self, answer: command_pb2.Answer | None) -> Sequence[Any]:
        """Takes the answer; returns a task for each ack. An answer without acks is dropped."""
        if answer is None:
            return ()
        if answer.HasField("fault"):
            _log.warning("broker rejected an emit with a callback", err=answer.fault.message)
        return [self._task(ack) for ack in answer.acks]

    def _task(self, ack: command_pb2.SocketAck) -> Task:
        socket = self._origin or self._memory.sockets.get(ack.socket_id)

        def run() -> None:
            self._callback(*self._codec.decode(ack.ack.args, ack.ack.attachments))

        return Task(socket or SocketState(ack.socket_id, "/", 0), self._route, run)


def _route(callback: Callable[..., Any]) -> Route:
    route = Route(callback, "")
    route.asynchronous = False  # a task runs on a thread
    return route
