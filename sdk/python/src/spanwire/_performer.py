# SPDX-License-Identifier: Apache-2.0
"""From a dispatch to its result: calls the handler, and makes of what it returned or raised what the broker is told."""

from __future__ import annotations

import asyncio
import builtins
import logging
import threading
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import Any

from ._link import Link
from ._loopwatch import LoopWatch
from ._payloads import Codec, arguments
from ._records import Dispatch, SocketState
from ._registering import Registering
from ._routes import Route
from ._socket import Socket
from ._verbs import Verbs
from ._waiters import Task
from ._words import Message
from .exceptions import ConnectionRefusedError

__all__ = ["Performer", "coroutine_item"]

log = logging.getLogger("spanwire")

# The dispatch that the running coroutine handles.
coroutine_item: ContextVar[Dispatch | None] = ContextVar("spanwire_item", default=None)


class Performer:
    """Runs the handlers of a service.

    Attributes:
        loop: Where coroutine handlers run; made when the first is called, unless the program brought its own.
        unhandled: How many events no handler was registered for.
    """

    def __init__(self, handlers: Registering, verbs: Verbs, codec: Codec) -> None:
        self._handlers = handlers
        self._verbs = verbs
        self._codec = codec
        self._lock = threading.Lock()
        self._own_loop: threading.Thread | None = None
        self._watch: LoopWatch | None = None
        self.loop: asyncio.AbstractEventLoop | None = None
        self.unhandled = 0

    def close(self) -> None:
        """Ends the event loop, if it is the performer's own."""
        with self._lock:
            loop, self.loop = self.loop, None
            thread, self._own_loop = self._own_loop, None
            watch, self._watch = self._watch, None
        if watch is not None:
            watch.stop()
        if thread is not None and loop is not None:
            loop.call_soon_threadsafe(loop.stop)
            thread.join(1)

    def prepare(self, dispatches: list[Dispatch]) -> None:
        """Finds the dispatches' routes."""
        routes = self._handlers._routes
        find = routes.events.find
        for dispatch in dispatches:
            kind = dispatch.kind
            if kind == "room" or kind == "message":
                table = routes.rooms if kind == "room" else routes.messages
                dispatch.route = table.find(dispatch.socket.namespace, dispatch.name)
            else:
                dispatch.route = find(dispatch.socket.namespace, dispatch.name)

    def perform(self, item: Any) -> None:
        """Runs one item to its end."""
        if type(item) is Task:
            item.run()
            return
        if item.home.stale(item):
            return
        state = item.socket
        if item.route is not None and item.route.concurrent:
            beside = item.home.memory.beside
            beside[item.id] = item
            try:
                self._handle(item, state)
            except BaseException as error:
                self._failed(item, error)
            finally:
                beside.pop(item.id, None)
            return
        state.current = item
        try:
            self._handle(item, state)
        except BaseException as error:
            self._failed(item, error)
        finally:
            state.current = None

    def _handle(self, item: Dispatch, state: SocketState) -> None:
        route = item.route
        if route is not None:
            # Most are events by name, and a call less for each is felt.
            if item.kind == "event" and not route.named and not self._handlers._incoming:
                event = item.message.event
                args = self._codec.decode(event.args, event.attachments)
                socket = state.facade
                if socket is None or socket._link is not item.home.link:
                    socket = self._socket(item.home.link, state)
                value = route.handler(socket, *args)
            else:
                value = route.handler(*self._arguments(route, item, state))
            self._finish(item, value)
        else:
            if self._handlers._incoming and item.kind == "event":
                self._event_arguments(False, item, state)
            self._no_handler(item)

    def _arguments(self, route: Route, item: Dispatch, state: SocketState) -> Sequence[Any]:
        """What the handler is called with."""
        kind = item.kind
        if kind == "event":
            return self._event_arguments(route.named, item, state)
        if kind == "message":
            message = item.message.message
            event = message.event
            values = self._codec.decode(event.args, event.attachments)
            return (Message(item.name, state.namespace, message.service, message.instance_id), *values)
        socket = self._socket(item.home.link, state)
        if kind == "room":
            room = item.message.room_event.room
            return (socket, item.name, room) if route.named else (socket, room)
        extra = socket.handshake.sent_auth if kind == "connect" else item.message.disconnected.reason
        return (socket, extra) if route.parameters is None or route.parameters > 1 else (socket,)

    def _event_arguments(self, named: bool, item: Dispatch, state: SocketState) -> Sequence[Any]:
        """What the handler of an event is called with; tells the listeners."""
        socket = self._socket(item.home.link, state)
        event = item.message.event
        args = self._codec.decode(event.args, event.attachments)
        for listener in self._handlers._incoming:
            try:
                listener(socket, item.name, *args)
            except Exception:
                log.exception("a listener to events failed")
        return (socket, item.name, *args) if named else (socket, *args)

    def _socket(self, link: Link, state: SocketState) -> Socket:
        socket: Socket | None = state.facade
        if socket is None:
            socket = state.facade = Socket(self._verbs, link, state)
        elif socket._link is not link:
            # Another replica dispatches for it now, and is the one that writes commands before acks.
            socket._use(link)
        return socket

    def _finish(self, item: Dispatch, value: Any) -> None:
        """Turns what a handler returned into the result."""
        if item.kind == "connect":
            if value is False and self._advisory(item):
                self._ignored(item, "the handler returned False")
            elif value is False:
                item.home.refuse(item)
            else:
                item.home.resolve(item, b"")
        elif item.message.wants_ack:
            item.home.resolve(item, *self._codec.encode(arguments((value,))))
        else:
            item.home.resolve(item)

    def _no_handler(self, item: Dispatch) -> None:
        """Resolves without an ack: a lifecycle event that nobody asked for, or a table that is older than the registration."""
        if item.kind == "connect":
            item.home.resolve(item, b"")
            return
        if item.kind == "event" or item.kind == "message":
            self.unhandled += 1
            log.warning("no handler for the %s %r of namespace %s", item.kind, item.name, item.socket.namespace)
        item.home.resolve(item)

    @staticmethod
    def _advisory(item: Dispatch) -> bool:
        """Says whether the socket connects, whatever the handler of its connect says."""
        return item.kind == "connect" and item.route is not None and item.route.advisory

    @staticmethod
    def _ignored(item: Dispatch, why: str) -> None:
        log.warning("the connect handler of namespace %s is advisory, so the socket is connected: %s", item.socket.namespace, why)
        item.home.fail(item, why, keep=True)

    def _failed(self, item: Dispatch, error: BaseException) -> None:
        if self._advisory(item):
            if not isinstance(error, builtins.ConnectionRefusedError | ConnectionRefusedError):
                log.error("the handler of %r failed (namespace %s)", item.name, item.socket.namespace, exc_info=error)
            self._ignored(item, _text(f"{type(error).__name__}: {error}"))
            return
        if item.kind == "connect" and isinstance(error, ConnectionRefusedError):
            try:
                item.home.refuse(item, *refusal(self._codec, error.error_args))
                return
            except (TypeError, ValueError) as unsendable:
                error = unsendable
        if item.kind == "connect" and isinstance(error, builtins.ConnectionRefusedError):
            item.home.refuse(item)
            return
        log.error("the handler of %r failed (namespace %s)", item.name, item.socket.namespace, exc_info=error)
        item.home.fail(item, _text(f"{type(error).__name__}: {error}"))

    # Coroutines.

    def running(self) -> Dispatch | None:
        """The dispatch that the calling coroutine handles, or None."""
        return coroutine_item.get()

    def perform_async(self, items: list[Any], done: Callable[[Any], None]) -> None:
        """Starts items with coroutine handlers, on the event loop. Each comes with its turn, which `done` is given."""

        def begin() -> None:
            for item, turn in items:
                task = loop.create_task(self._perform_coroutine(item))
                running[task] = item
                if watch.parked:
                    watch.wake()
                task.add_done_callback(lambda task, item=item, turn=turn: end(task, item, turn))  # type: ignore[misc]

        def end(task: asyncio.Task[None], item: Any, turn: Any) -> None:
            running.pop(task, None)
            done(turn)
            link = item.home.link
            if not task.cancelled() and link not in flushing:
                # One flush for all that ends in this turn of the loop.
                flushing.append(link)
                loop.call_soon(flush)

        def flush() -> None:
            while flushing:
                flushing.pop().flush()

        flushing: list[Link] = []
        loop, watch = self._event_loop()
        running = watch.tasks
        loop.call_soon_threadsafe(begin)

    async def _perform_coroutine(self, item: Any) -> None:
        if item.home.stale(item):
            return
        state = item.socket
        route = item.route
        beside = item.home.memory.beside
        coroutine_item.set(item)
        if route.concurrent:
            beside[item.id] = item
        else:
            state.current = item
        try:
            self._finish(item, await route.handler(*self._arguments(route, item, state)))
        except BaseException as error:
            self._failed(item, error)
        finally:
            if route.concurrent:
                beside.pop(item.id, None)
            else:
                state.current = None

    def _event_loop(self) -> tuple[asyncio.AbstractEventLoop, LoopWatch]:
        with self._lock:
            if self.loop is None:
                self.loop = asyncio.new_event_loop()
                self._own_loop = threading.Thread(target=_run_loop, args=(self.loop,), name="spanwire-loop", daemon=True)
                self._own_loop.start()
            if self._watch is None:
                self._watch = LoopWatch(self.loop)
            return self.loop, self._watch


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
        return _text(args[0]), b""
    return _text(args[0]), codec.value(args[1] if len(args) == 2 else list(args[1:]))


def _text(value: Any) -> str:
    """Gives the text of a value, with escapes for what has no UTF-8."""
    return str(value).encode(errors="backslashreplace").decode()


def _run_loop(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
    finally:
        loop.close()
