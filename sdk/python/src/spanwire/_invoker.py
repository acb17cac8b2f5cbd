# SPDX-License-Identifier: Apache-2.0
"""The invoker: calls the handler of a dispatch, and turns its result into the answer."""

from __future__ import annotations

import asyncio
import builtins
import functools
import threading
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import Any

from . import _log
from ._link import Link
from ._loopwatch import LoopWatch
from ._payloads import Codec, arguments
from ._records import Dispatch, SocketState
from ._registering import Registering
from ._routes import Route
from ._socket import Socket
from ._values import Message
from ._verbs import Verbs
from ._waiters import Task
from .exceptions import ConnectionRefusedError

__all__ = ["Invoker", "coroutine_item"]

# The dispatch that the running coroutine handles.
coroutine_item: ContextVar[Dispatch | None] = ContextVar("spanwire_item", default=None)


class Invoker:
    """Runs the handlers of a service.

    Attributes:
        loop: The loop of coroutine handlers; made when the first one is called, unless the program
            has its own.
        unhandled: How many events had no handler.
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
        """Stops the event loop, if the invoker has made it."""
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
        """Finds the routes of dispatches."""
        routes = self._handlers._routes
        find = routes.events.find
        for dispatch in dispatches:
            kind = dispatch.kind
            if kind == "room" or kind == "message":
                table = routes.rooms if kind == "room" else routes.messages
                dispatch.route = table.find(dispatch.socket.namespace, dispatch.name)
            else:
                dispatch.route = find(dispatch.socket.namespace, dispatch.name)

    def invoke(self, item: Any) -> None:
        """Runs one item to its end."""
        if type(item) is Task:
            item.run()
            return
        if item.home.stale(item):
            return
        state = item.socket
        if item.route is not None and item.route.concurrent:
            concurrent_runs = item.home.memory.concurrent_runs
            concurrent_runs[item.id] = item
            try:
                self._handle(item, state)
            except BaseException as error:
                self._failed(item, error)
            finally:
                concurrent_runs.pop(item.id, None)
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
            # Most dispatches are events by name, for which one call less is measurable.
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
        """Returns the arguments of the handler."""
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
        """Returns the arguments of an event's handler, and calls the listeners."""
        socket = self._socket(item.home.link, state)
        event = item.message.event
        args = self._codec.decode(event.args, event.attachments)
        for listener in self._handlers._incoming:
            try:
                listener(socket, item.name, *args)
            except Exception as error:
                _log.error("listener to events failed", exception=error, **_facts(item))
        return (socket, item.name, *args) if named else (socket, *args)

    def _socket(self, link: Link, state: SocketState) -> Socket:
        socket: Socket | None = state.facade
        if socket is None:
            socket = state.facade = Socket(self._verbs, link, state)
        elif socket._link is not link:
            # Another replica dispatches for the socket now, and orders commands before acks.
            socket._use(link)
        return socket

    def _finish(self, item: Dispatch, value: Any) -> None:
        """Turns the return value of a handler into the result."""
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
        """Resolves a dispatch that has no handler: a lifecycle event, or an old registration."""
        if item.kind == "connect":
            item.home.resolve(item, b"")
            return
        if item.kind == "event" or item.kind == "message":
            self.unhandled += 1
            _log.warning(f"no handler for the {item.kind}", event=item.name, namespace=item.socket.namespace)
        item.home.resolve(item)

    @staticmethod
    def _advisory(item: Dispatch) -> bool:
        """Returns whether the socket connects regardless of its connect handler."""
        return item.kind == "connect" and item.route is not None and item.route.advisory

    @staticmethod
    def _ignored(item: Dispatch, reason: str) -> None:
        _log.warning("advisory connect handler refused or failed; socket connected nevertheless", **_facts(item), reason=reason)
        item.home.fail(item, reason, keep=True)

    def _failed(self, item: Dispatch, error: BaseException) -> None:
        if self._advisory(item):
            if not isinstance(error, builtins.ConnectionRefusedError | ConnectionRefusedError):
                _log.error("handler failed", exception=error, **_facts(item), err=_describe(error))
            self._ignored(item, _describe(error))
            return
        if item.kind == "connect" and isinstance(error, ConnectionRefusedError):
            try:
                item.home.refuse(item, *refusal_to_proto(self._codec, error.error_args))
                return
            except (TypeError, ValueError) as unsendable:
                error = unsendable
        if item.kind == "connect" and isinstance(error, builtins.ConnectionRefusedError):
            item.home.refuse(item)
            return
        _log.error("handler failed", exception=error, **_facts(item), err=_describe(error))
        item.home.fail(item, _describe(error))

    # Coroutines.

    def running(self) -> Dispatch | None:
        """Returns the dispatch that the calling coroutine handles, or None."""
        return coroutine_item.get()

    def invoke_async(self, items: list[Any], done: Callable[[Any], None]) -> None:
        """Starts items with coroutine handlers; calls `done` with the lane of each."""

        def begin() -> None:
            for item, lane in items:
                task = loop.create_task(self._invoke_coroutine(item))
                running[task] = item
                if watch.parked:
                    watch.wake()
                task.add_done_callback(functools.partial(end, item=item, lane=lane))

        def end(task: asyncio.Task[None], item: Any, lane: Any) -> None:
            running.pop(task, None)
            done(lane)
            link = item.home.link
            if not task.cancelled() and link not in flushing:
                # One flush for all coroutines that end in this iteration of the loop.
                flushing.append(link)
                loop.call_soon(flush)

        def flush() -> None:
            while flushing:
                flushing.pop().flush()

        flushing: list[Link] = []
        loop, watch = self._event_loop()
        running = watch.tasks
        loop.call_soon_threadsafe(begin)

    async def _invoke_coroutine(self, item: Any) -> None:
        if item.home.stale(item):
            return
        state = item.socket
        route = item.route
        concurrent_runs = item.home.memory.concurrent_runs
        coroutine_item.set(item)
        if route.concurrent:
            concurrent_runs[item.id] = item
        else:
            state.current = item
        try:
            self._finish(item, await route.handler(*self._arguments(route, item, state)))
        except BaseException as error:
            self._failed(item, error)
        finally:
            if route.concurrent:
                concurrent_runs.pop(item.id, None)
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


def refusal_to_proto(codec: Codec, args: Sequence[Any]) -> tuple[str, bytes]:
    """Converts the arguments of a ConnectionRefusedError.

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


def _facts(item: Dispatch) -> dict[str, str]:
    """Returns the keys and values of a dispatch for log lines."""
    facts = {"handler": item.name, "namespace": item.socket.namespace}
    if item.socket.id:
        facts["socket"] = item.socket.id
    return facts


def _describe(error: BaseException) -> str:
    """Returns the kind and the text of an exception."""
    return _text(f"{type(error).__name__}: {error}")


def _text(value: Any) -> str:
    """Returns the text of a value, with escapes for what UTF-8 cannot represent."""
    return str(value).encode(errors="backslashreplace").decode()


def _run_loop(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
    finally:
        loop.close()
