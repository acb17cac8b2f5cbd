# SPDX-License-Identifier: Apache-2.0
"""From a dispatch to its result: calls the handler, and makes of what it returned or raised what the broker is told."""

from __future__ import annotations

import asyncio
import builtins
import logging
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ._link import Link
from ._payloads import Codec, arguments
from ._records import Dispatch, SocketState
from ._routes import Route
from ._socket import Socket
from ._waiters import Task
from ._words import Message
from .exceptions import ConnectionRefusedError

if TYPE_CHECKING:
    from ._service import Service

__all__ = ["Performer"]

log = logging.getLogger("spanwire")


class Performer:
    """Runs the handlers of a service.

    Attributes:
        loop: Where coroutine handlers run; made when the first is called, unless the program brought its own.
        unhandled: How many events no handler was registered for.
    """

    def __init__(self, service: Service, codec: Codec) -> None:
        self._service = service
        self._codec = codec
        self._lock = threading.Lock()
        self._own_loop: threading.Thread | None = None
        self.loop: asyncio.AbstractEventLoop | None = None
        self.unhandled = 0

    def close(self) -> None:
        """Ends the event loop, if it is the performer's own."""
        with self._lock:
            loop, self.loop = self.loop, None
            thread, self._own_loop = self._own_loop, None
        if thread is not None and loop is not None:
            loop.call_soon_threadsafe(loop.stop)
            thread.join(1)

    def prepare(self, dispatches: list[Dispatch]) -> None:
        """Finds the dispatches' routes."""
        routes = self._service._routes
        find = routes.events.find
        for dispatch in dispatches:
            kind = dispatch.kind
            if kind == "room" or kind == "message":
                table = routes.rooms if kind == "room" else routes.messages
                dispatch.route = table.find(dispatch.socket.namespace, dispatch.name)
            else:
                dispatch.route = find(dispatch.socket.namespace, dispatch.name)

    def perform(self, link: Link, item: Any) -> None:
        """Runs one item to its end."""
        if type(item) is Task:
            item.run()
            return
        conversation = link.conversation
        if conversation.stale(item):
            return
        state = item.socket
        state.current = item
        try:
            self._handle(link, item, state)
        except BaseException as error:
            self._failed(link, item, error)
        finally:
            state.current = None

    def _handle(self, link: Link, item: Dispatch, state: SocketState) -> None:
        route = item.route
        if route is not None:
            # Most are events by name, and a call less for each is felt.
            if item.kind == "event" and not route.named and not self._service._incoming:
                event = item.message.event
                args = self._codec.decode(event.args, event.attachments)
                value = route.handler(state.facade or self._socket(link, state), *args)
            else:
                value = route.handler(*self._arguments(link, route, item, state))
            self._finish(link, item, value)
        else:
            if self._service._incoming and item.kind == "event":
                self._event_arguments(link, False, item, state)
            self._no_handler(link, item)

    def _arguments(self, link: Link, route: Route, item: Dispatch, state: SocketState) -> Sequence[Any]:
        """What the handler is called with."""
        kind = item.kind
        if kind == "event":
            return self._event_arguments(link, route.named, item, state)
        if kind == "message":
            message = item.message.message
            event = message.event
            values = self._codec.decode(event.args, event.attachments)
            return (Message(item.name, state.namespace, message.service, message.instance_id), *values)
        socket = self._socket(link, state)
        if kind == "room":
            room = item.message.room_event.room
            return (socket, item.name, room) if route.named else (socket, room)
        extra = socket.handshake.sent_auth if kind == "connect" else item.message.disconnected.reason
        return (socket, extra) if route.parameters is None or route.parameters > 1 else (socket,)

    def _event_arguments(self, link: Link, named: bool, item: Dispatch, state: SocketState) -> Sequence[Any]:
        """What the handler of an event is called with; tells the listeners."""
        socket = state.facade
        if socket is None:
            socket = self._socket(link, state)
        event = item.message.event
        args = self._codec.decode(event.args, event.attachments)
        for listener in self._service._incoming:
            try:
                listener(socket, item.name, *args)
            except Exception:
                log.exception("a listener to events failed")
        return (socket, item.name, *args) if named else (socket, *args)

    def _socket(self, link: Link, state: SocketState) -> Socket:
        socket: Socket | None = state.facade
        if socket is None:
            socket = state.facade = Socket(self._service, link, state)
        return socket

    def _finish(self, link: Link, item: Dispatch, value: Any) -> None:
        """Turns what a handler returned into the result."""
        if item.kind == "connect":
            if value is False:
                link.conversation.refuse(item)
            else:
                link.conversation.resolve(item, b"")
        elif item.message.wants_ack:
            link.conversation.resolve(item, *self._codec.encode(arguments((value,))))
        else:
            link.conversation.resolve(item)

    def _no_handler(self, link: Link, item: Dispatch) -> None:
        """Resolves without an ack: a lifecycle event that nobody asked for, or a table that is older than the registration."""
        if item.kind == "connect":
            link.conversation.resolve(item, b"")
            return
        if item.kind == "event" or item.kind == "message":
            self.unhandled += 1
            log.warning("no handler for the %s %r of namespace %s", item.kind, item.name, item.socket.namespace)
        link.conversation.resolve(item)

    def _failed(self, link: Link, item: Dispatch, error: BaseException) -> None:
        if item.kind == "connect" and isinstance(error, ConnectionRefusedError):
            message, data = refusal(self._codec, error.error_args)
            link.conversation.refuse(item, message, data)
            return
        if item.kind == "connect" and isinstance(error, builtins.ConnectionRefusedError):
            link.conversation.refuse(item)
            return
        log.error("the handler of %r failed", item.name, exc_info=error)
        link.conversation.fail(item, f"{type(error).__name__}: {error}")

    # Coroutines.

    def perform_async(self, link: Link, items: list[Any], done: Callable[[SocketState], None]) -> None:
        """Starts items with coroutine handlers, on the event loop."""

        def begin() -> None:
            for item in items:
                task = loop.create_task(self._perform_coroutine(link, item))
                running.add(task)
                task.add_done_callback(lambda task, item=item: end(task, item))  # type: ignore[misc]

        def end(task: asyncio.Task[None], item: Any) -> None:
            running.discard(task)
            done(item.socket)
            if not task.cancelled() and not flushing:
                # One flush for all that ends in this turn of the loop.
                flushing.append(None)
                loop.call_soon(flush)

        def flush() -> None:
            flushing.clear()
            link.flush()

        running: set[asyncio.Task[None]] = set()
        flushing: list[None] = []
        loop = self._event_loop()
        loop.call_soon_threadsafe(begin)

    async def _perform_coroutine(self, link: Link, item: Any) -> None:
        conversation = link.conversation
        if conversation.stale(item):
            return
        state = item.socket
        state.current = item
        route = item.route
        try:
            self._finish(link, item, await route.handler(*self._arguments(link, route, item, state)))
        except BaseException as error:
            self._failed(link, item, error)
        finally:
            state.current = None

    def _event_loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self.loop is None:
                self.loop = asyncio.new_event_loop()
                self._own_loop = threading.Thread(target=_run_loop, args=(self.loop,), name="spanwire-loop", daemon=True)
                self._own_loop.start()
            return self.loop


def refusal(codec: Codec, args: Sequence[Any]) -> tuple[str, bytes]:
    """Translates the arguments of a ConnectionRefusedError.

    Args:
        codec: Serialises the data.
        args: The arguments.

    Returns:
        The message, and one JSON value or nothing.
    """
    if not args:
        return "", b""
    if len(args) == 1:
        return str(args[0]), b""
    return str(args[0]), codec.value(args[1] if len(args) == 2 else list(args[1:]))


def _run_loop(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
    finally:
        loop.close()
