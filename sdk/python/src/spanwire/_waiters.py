# SPDX-License-Identifier: Apache-2.0
"""Who waits for the answer of a command: a thread, or a callback."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from typing import Any

from ._memory import Memory
from ._payloads import Codec
from ._proto import command_pb2
from ._records import SocketState
from ._routes import Route

__all__ = ["AnswerWaiter", "CallbackWaiter", "FutureWaiter", "Task"]

log = logging.getLogger("spanwire")


class Task:
    """Something to run in turn with the events of a socket.

    Attributes:
        socket: The socket.
        route: Stands for the function, so that slow ones are known as such.
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
        except BaseException:
            log.exception("a callback failed")


class FutureWaiter:
    """A thread that waits.

    Attributes:
        event: Set when the answer came, or will not come.
        answer: The answer, None when it will not come.
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
    """A function that is run once with the answer, in turn with nothing."""

    __slots__ = ("_callback",)

    def __init__(self, callback: Callable[[command_pb2.Answer], Any]) -> None:
        self._callback = callback

    def settle(self, answer: command_pb2.Answer | None) -> Sequence[Any]:
        """Takes the answer. One that will not come is dropped, as is a refusal."""
        if answer is None:
            return ()
        if answer.HasField("fault"):
            log.warning("the broker refused a command with a callback: %s", answer.fault.message)
            return ()
        return (Task(SocketState("", "/", 0), _route(self._callback), lambda: self._callback(answer)),)


class CallbackWaiter:
    """A callback that is run for each ack, in turn with the events of the origin, or else of the socket that answered."""

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
        """Takes the answer; makes a task of each ack. An answer that will not come is dropped, as is one without acks."""
        if answer is None:
            return ()
        if answer.HasField("fault"):
            log.warning("the broker refused an emit with a callback: %s", answer.fault.message)
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
