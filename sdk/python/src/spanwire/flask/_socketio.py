# SPDX-License-Identifier: Apache-2.0
"""The SocketIO object with the API of Flask-SocketIO."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

import flask

from .._checks import check_seconds, names
from .._emitter import Emitter
from .._records import SocketState
from .._routes import ANY
from .._service import Service
from .._target import Target, To, make_target
from .._verbs import on_loop
from ..exceptions import AckTimeoutError, BrokerUnavailableError
from . import _serving
from ._context import SocketContext, current_context
from ._handlers import Handlers
from ._options import SERVICE_OPTIONS, warn_without_effect

__all__ = ["SocketIO"]

_EVERY = re.compile("/.*")  # the meaning of `namespaces="*"`


class Reason:
    """The reasons that disconnect handlers receive."""

    CLIENT_DISCONNECT = "client namespace disconnect"
    SERVER_DISCONNECT = "server namespace disconnect"
    PING_TIMEOUT = "ping timeout"
    TRANSPORT_CLOSE = "transport close"
    TRANSPORT_ERROR = "transport error"
    SERVER_SHUTTING_DOWN = "server shutting down"


class SocketIO(Handlers):
    """Socket.IO for a Flask application, with the browsers' connections in a broker.

    Options of Flask-SocketIO without an effect here are accepted and logged.

    Args:
        app: The application; or call `init_app` later.
        **kwargs: Options: those of Flask-SocketIO, those of `spanwire.Service` (`address`,
            `workers`, `window`, ...), `service` for the service's name, and `attach`: whether to
            attach to the broker as soon as a server serves the application (True by default).
    """

    reason = Reason
    async_mode = "threading"

    def __init__(self, app: flask.Flask | None = None, **kwargs: Any) -> None:
        super().__init__(Service("flask"))
        self.server_options: dict[str, Any] = {}
        self.attachment = _serving.Attachment(self.service)
        self._emitter: Emitter | None = None
        self._lock = threading.Lock()
        if app is not None or kwargs:
            self.init_app(app, **kwargs)

    def init_app(self, app: flask.Flask | None, **kwargs: Any) -> None:
        """Binds the application. Handlers may have been registered before.

        Args:
            app: The application; None for a program that only emits.
            **kwargs: As for the class.
        """
        options = {**self.server_options, **kwargs}
        self.server_options = dict(options)
        self.manage_session = options.pop("manage_session", self.manage_session)
        name = options.pop("service", None)
        attach = options.pop("attach", True)
        chosen = {key: options.pop(key) for key in SERVICE_OPTIONS if key in options}
        json = options.pop("json", None)
        namespaces = options.pop("namespaces", None) or ()
        if app is not None and not isinstance(app, flask.Flask):
            raise TypeError(f"app: got {type(app).__name__} {app!r:.80}, not a Flask application (pass Flask(__name__))")
        if app is not None:
            # Called before handlers are registered, or with those that are.
            name = name or app.name
            self.app = app
            app.extensions["socketio"] = self
        table = self.service._routes
        self.service = Service(
            re.sub(r"[^A-Za-z0-9_.-]", "-", name or "flask")[:128],
            namespaces=(_EVERY,) if namespaces == ANY else namespaces,
            json=json,
            credentials=True,  # Flask's request has cookies
            **chosen,
        )
        table.namespaces = self.service._routes.namespaces
        self.service._routes = table
        warn_without_effect(options)
        self.attachment.close()
        self.attachment = _serving.Attachment(self.service)
        if app is not None and attach:
            self.attachment.watch(app)

    # Commands to the broker.

    def emit(self, event: str, *args: Any, **kwargs: Any) -> None:
        """Emits to every socket of a namespace, or of rooms.

        It needs no context; any thread and any process may call it.

        Args:
            event: The event's name.
            *args: The arguments; a lone tuple means several.
            **kwargs: `namespace`, `to` or `room` (a room or socket id, or several), `include_self`,
                `skip_sid` (one or several), `callback`; others are ignored.

        Raises:
            TypeError: An argument cannot be sent.
            BrokerUnavailableError: The broker cannot be reached.
        """
        namespace = kwargs.get("namespace") or "/"
        to = kwargs.get("to")
        if to is None:
            to = kwargs.get("room")
        skip = kwargs.get("skip_sid")
        if not skip and not kwargs.get("include_self", True):
            skip = getattr(flask.request, "sid", None)
        callback = kwargs.get("callback")
        service = self._ready_service()
        if service is None:
            if callback is not None:
                raise RuntimeError("emit: a callback needs an attached application (use call(), or emit without a callback)")
            self._own_emitter().emit(event, *args, to=to, except_=skip, namespace=namespace)
            return
        target = _target(service, to, namespace, skip)
        if callback is None:
            service._emit(event, args, target)
        else:
            self._emit_with_callback(service, event, args, target, callback)

    def _emit_with_callback(
        self,
        service: Service,
        event: str,
        args: tuple[Any, ...],
        target: Target,
        callback: Callable[..., Any],
    ) -> None:
        origin = current_context()

        def run(*values: Any) -> None:
            # In the contexts of the socket that was being handled at the time of the emit.
            if origin is not None:
                with origin.handling(None, values):
                    callback(*values)
            elif self.app is not None:
                with self.app.app_context():
                    callback(*values)

        state: SocketState | None = None if origin is None else origin.socket._state
        service._emit_with_callback(event, args, target, run, state)

    def call(self, event: str, *args: Any, **kwargs: Any) -> Any:
        """Emits to one socket and waits for its ack. The wait cannot be cancelled.

        Args:
            event: The event's name.
            *args: The arguments; a lone tuple means several.
            **kwargs: `namespace`, `to` or `sid` (the socket's id), `timeout` in seconds (60);
                others are ignored.

        Returns:
            The arguments of the ack: None, one value, or a list of several.

        Raises:
            ValueError: No socket is named.
            AckTimeoutError: No ack arrived in time; it is a TimeoutError.
        """
        to = kwargs.get("to") or kwargs.get("sid") or kwargs.get("room")
        if not to:
            raise ValueError("call: no socket is named (pass the id of one: to=...)")
        namespace = kwargs.get("namespace") or "/"
        timeout = kwargs.get("timeout", 60)
        service = self._ready_service()
        if service is None:
            acks = self._own_emitter().emit_with_ack(event, *args, to=to, namespace=namespace, timeout=timeout)
            if not acks.acks:
                raise AckTimeoutError(f"call: socket {to!r} did not answer {event!r} within {timeout} s", event=event)
            values = acks.acks[0].args
        else:
            target = _target(service, to, namespace)
            values = service._call(event, args, target._with("_timeout", check_seconds(timeout)))
        return values if len(values) > 1 else values[0] if values else None

    def send(
        self,
        data: Any,
        json: bool = False,
        namespace: str | None = None,
        to: Any = None,
        callback: Callable[..., Any] | None = None,
        include_self: bool = True,
        skip_sid: Any = None,
        **kwargs: Any,
    ) -> None:
        """Emits the event `message`, or `json`.

        Args:
            data: The argument.
            json: Whether the event is `json`.
            namespace: The namespace; "/" when None.
            to: A room or socket id, or several.
            callback: Called with the ack.
            include_self: Whether the current socket receives it too.
            skip_sid: Sockets to exclude.
            **kwargs: As for `emit`.
        """
        self.emit(
            "json" if json else "message",
            data,
            namespace=namespace,
            to=to,
            callback=callback,
            include_self=include_self,
            skip_sid=skip_sid,
            **kwargs,
        )

    def close_room(self, room: str, namespace: str | None = None) -> None:
        """Removes all sockets from a room; none is disconnected.

        Args:
            room: The room.
            namespace: The namespace; "/" when None.
        """
        service = self._attached_service()
        space = namespace or "/"
        service._move("leave", names(room), _target(service, room, space))
        links = service._links
        for state in list(links.memory.sockets.values()) if links is not None else ():
            if state.facade is not None and state.namespace == space and state.facade._context is not None:
                state.facade._context.rooms.discard(room)

    def join_room(self, room: str, sid: str, namespace: str) -> None:
        """Adds a socket to a room.

        Args:
            room: The room.
            sid: The socket's id.
            namespace: The namespace.
        """
        service = self._attached_service()
        service._move("join", names(room), _target(service, sid, namespace))
        context = self._known(sid)
        if context is not None:
            context.rooms.add(room)

    def leave_room(self, room: str, sid: str, namespace: str) -> None:
        """Removes a socket from a room.

        Args:
            room: The room.
            sid: The socket's id.
            namespace: The namespace.
        """
        service = self._attached_service()
        service._move("leave", names(room), _target(service, sid, namespace))
        context = self._known(sid)
        if context is not None:
            context.rooms.discard(room)

    def rooms(self, sid: str, namespace: str = "/") -> list[str]:
        """Lists the rooms that a socket is in, its own first.

        Args:
            sid: The socket's id.
            namespace: The namespace.

        Returns:
            The rooms; in the disconnect handler, those that it was in. In a coroutine, which cannot
            ask the broker, those that this process added it to.

        Raises:
            BrokerUnavailableError: The broker cannot be reached.
        """
        current = current_context()
        context = current if current is not None and current.socket.id == sid else self._known(sid)
        if context is not None and not context.socket.connected:
            return list(context.socket.rooms())
        if not on_loop():
            service = self._attached_service()
            found = service._rooms_of(_target(service, sid, namespace))
            if found:
                return list(found)
        # Until its connect is accepted, other processes do not know the socket.
        return [sid, *sorted(context.rooms)] if context is not None else []

    def disconnect(self, sid: str, namespace: str) -> None:
        """Disconnects a socket.

        Args:
            sid: The socket's id.
            namespace: The namespace.
        """
        service = self._attached_service()
        service._disconnect(_target(service, sid, namespace))

    def _known(self, sid: str) -> SocketContext | None:
        links = self.service._links
        state = links.memory.sockets.get(sid) if links is not None else None
        if state is None or state.facade is None:
            return None
        context: SocketContext | None = state.facade._context
        return context

    # The life of the object.

    def attach(self, timeout: float | None = None) -> None:
        """Attaches to the broker now, for servers that are not recognised.

        Args:
            timeout: How long to wait for the broker, in seconds; None does not wait.

        Raises:
            RegistrationError: The broker rejected the registrations.
            BrokerUnavailableError: The timeout has passed.
        """
        self.service.start()
        if timeout is not None:
            self.service.wait_attached(timeout)

    def run(self, app: flask.Flask, host: str | None = None, port: int | None = None, **kwargs: Any) -> None:
        """Serves the application and attaches it to the broker.

        The method starts a broker when there is none. It blocks until SIGINT or SIGTERM.

        The address for browsers depends on the broker: under `broker dev`, and with a broker that
        this method starts, the broker listens on host and port, and proxies to the application, so
        that `io()` works without an address. With a broker that is already running, the application
        itself listens on host and port.

        Args:
            app: The application.
            host: Where to listen; 127.0.0.1 when None.
            port: Where to listen; 5000 when None.
            **kwargs: `debug`, `use_reloader`, `reloader_options`, `log_output`, and options of
                Werkzeug's `run_simple`.

        Raises:
            BrokerNotFoundError: No broker is running, and no program was found to start one.
        """
        if self.app is None:
            self.init_app(app)
        _serving.run(self, app, host, port, **kwargs)

    def stop(self) -> None:
        """Detaches from the broker after running handlers have finished."""
        self.attachment.close()
        self.service.stop()

    def drain_on_signals(self, *numbers: int) -> None:
        """Detaches at a signal that a server handles; see `Service.drain_on_signals`.

        Args:
            *numbers: The signals; SIGTERM when none is named.
        """
        self.service.drain_on_signals(*numbers)

    def start_background_task(self, target: Callable[..., Any], *args: Any, **kwargs: Any) -> threading.Thread:
        """Runs a function on a thread.

        Args:
            target: The function.
            *args: Its arguments.
            **kwargs: Its keyword arguments.

        Returns:
            The thread, started.
        """
        thread = threading.Thread(target=target, args=args, kwargs=kwargs, daemon=True)
        thread.start()
        return thread

    def sleep(self, seconds: float = 0) -> None:
        """Sleeps; in a handler, other sockets continue meanwhile.

        Args:
            seconds: How long, in seconds.
        """
        links = self.service._links
        if links is not None:
            links.scheduler.about_to_block()
        time.sleep(seconds)

    def _ready_service(self) -> Service | None:
        """Returns the service if this process serves the application.

        Scripts, shells and task queues only emit.
        """
        if self.service.started or self.attachment.pending:
            return self.service
        return None

    def _attached_service(self) -> Service:
        service = self._ready_service()
        if service is None:
            raise BrokerUnavailableError(
                "flask: this process is not attached to the broker (serve the application, or call attach())"
            )
        return service

    def _own_emitter(self) -> Emitter:
        with self._lock:
            if self._emitter is None:
                self._emitter = Emitter(self.service._address, **self.service._access)
                self._emitter._codec = self.service._codec
            return self._emitter


def _target(service: Service, to: To, namespace: str, skip: str | Iterable[str] | None = None) -> Target:
    """Makes a target with the link of the socket that is being handled.

    What a handler emits then leaves before its ack.
    """
    context = current_context()
    own = context is not None and context.socket._service is service
    return make_target(to, skip, namespace, link=context.socket._link if context and own else None)
