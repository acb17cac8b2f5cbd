# SPDX-License-Identifier: Apache-2.0
"""The service: handlers by name, and the links that bring their events."""

from __future__ import annotations

import asyncio
import atexit
import builtins
import os
import secrets
import signal
import socket as stdlib_socket
import threading
import weakref
from collections.abc import Iterable
from typing import Any

from . import _log
from ._checks import Space, check_name, check_seconds, check_whole
from ._invoker import Invoker
from ._link import Link
from ._links import Links
from ._payloads import Codec, Json
from ._proto import handler_pb2
from ._registering import Registering
from ._routes import Routes
from ._settings import Settings, Token
from ._signals import drain_at, stopping_on_signals
from ._verbs import Verbs, on_loop
from ._version import __version__
from .exceptions import RegistrationError

__all__ = ["Service"]

_PROTOCOL_VERSION = 1
_BuiltinRefused = builtins.ConnectionRefusedError
# Seconds, so that handlers registered one after another cost one new stream.
_RENEW_AFTER = 0.05


class Service(Registering, Verbs):
    """A named kind of handler: register functions for events, then call `run()`.

    Use it for programs that handle events. Programs that only emit use an `Emitter`, and Flask
    applications use `spanwire.flask`.

    Example::

        service = Service("chat")

        @service.on("my event")
        def my_event(socket, data):
            socket.emit("my response", data)

        service.run()

    Handlers of one socket run one after another, in the order in which the browser sent the events;
    handlers of different sockets run at the same time. A handler may block, and emit from anywhere;
    what it emits before it returns reaches the browser before its ack does, and its return value is
    the ack. `async def` handlers run on one event loop.

    An event is delivered at least once: when the stream breaks before its result has arrived, the
    broker may deliver it again, to this or another instance.

    Args:
        name: The service's name; instances with the same name share its events.
        address: The brokers' addresses for services, with commas between several;
            `SPANWIRE_ADDRESS` when None. One is enough: the broker lists the other replicas, and
            the service attaches to each.
        workers: How many handlers may block at the same time.
        window: How many events may be open in this instance; zero means the broker's default.
        at_most_once: Whether events whose instance is gone are dropped rather than redelivered.
        credentials: Whether handshakes include the headers Cookie and Authorization.
        one_replica: Whether to attach only to the given addresses, and not to the other replicas
            that the broker lists.
        namespaces: Namespaces or patterns to register beside those that have handlers of their own,
            for handlers of namespace "*".
        json: A replacement for the `json` module.
        drain_timeout: How long `stop` waits for running handlers, in seconds.
        retire: Whether the service retires when its last instance stops: connects no longer wait
            for it, and its queued events are dropped. For services that are renamed or removed, and
            for development. `SPANWIRE_RETIRE` when None.
        emit_timeout: How long an emit waits while the queue to the broker is full, in seconds.
        max_queue_bytes: How many bytes of emits may be queued for the broker.
        token: The token for the brokers' service listener; a function that returns it, called each
            time that a stream is opened; or the path of a file that is read each time.
            `SPANWIRE_TOKEN` when None.
        tls_ca: A file with the certificates to trust; `SPANWIRE_TLS_CA` when None.
        tls_cert: A file with the client certificate and its intermediate certificates.
        tls_key: A file with the key of the client certificate.
    """

    def __init__(
        self,
        name: str,
        *,
        address: str | None = None,
        workers: int = 32,
        window: int = 0,
        at_most_once: bool = False,
        credentials: bool = False,
        one_replica: bool = False,
        namespaces: Iterable[Space] = (),
        json: Json | None = None,
        drain_timeout: float = 10.0,
        retire: bool | None = None,
        emit_timeout: float = 10.0,
        max_queue_bytes: int = 16 << 20,
        token: Token | None = None,
        tls_ca: str | None = None,
        tls_cert: str = "",
        tls_key: str = "",
    ) -> None:
        # Fixed at birth.
        self.name = check_name(name, "service name", "pass the name of the service first")
        self._address = address
        self._workers = check_whole(workers, "workers", 1)
        self._window = check_whole(window, "window")
        self._at_most_once = at_most_once
        self._credentials = credentials
        self._one_replica = one_replica
        self._access: dict[str, Any] = {"token": token, "tls_ca": tls_ca, "tls_cert": tls_cert, "tls_key": tls_key}
        self._drain_timeout = check_seconds(drain_timeout, "drain_timeout") or 0.0
        self._retire = retire
        self._emit_timeout = check_seconds(emit_timeout, "emit_timeout") or 0.0
        self._max_queue_bytes = check_whole(max_queue_bytes, "max_queue_bytes")
        self._codec = Codec(json)
        self._routes = Routes(namespaces)
        self._incoming = []
        self._outgoing = []
        self._invoker = Invoker(self, self, self._codec)
        # Guarded by the lock.
        self._lock = threading.Lock()
        self._links: Links | None = None
        self._renewal: threading.Timer | None = None
        # Read by any thread.
        self.instance_id = _instance_id()
        self._process = os.getpid()
        self._stop = threading.Event()
        _watch_process(self)

    # The life of a service.

    def run(self) -> None:
        """Attaches and handles events until SIGINT, SIGTERM or `stop()`; then drains.

        The method blocks; cancel it with a signal, or with `stop()` from another thread. A second
        signal ends the process at once. If logging has no handler, the method logs to standard
        error meanwhile: when the service is attached, with the address for browsers, and when it
        is not.

        The service never stops dialling, and waits for a broker that is not running yet.

        Raises:
            RegistrationError: The broker rejected the registrations.
        """
        with _log.to_standard_error():
            with stopping_on_signals(self._stop):
                links = self.start()
                while not self._stop.wait(0.5):
                    if links.error is not None:
                        error = links.error
                        self.stop()
                        raise error
            self.stop()

    def start(self) -> Links:
        """Starts to attach, on threads of its own, and returns at once.

        Returns:
            The links to the replicas.

        Raises:
            RegistrationError: No handler is registered.
        """
        if self._process != os.getpid():
            # Some servers fork without Python's knowledge.
            self._forked()
        with self._lock:
            if self._links is None:
                self._stop.clear()
                settings = Settings.read(self._address, **self._access)
                if not self._routes.registrations():
                    raise RegistrationError(
                        f"service {self.name!r}: has no handlers to register (register one with @service.on(...))"
                    )
                self._links = Links(
                    self._invoker,
                    self._register,
                    self._routes.registrations,
                    settings,
                    workers=self._workers,
                    max_queue_bytes=self._max_queue_bytes,
                    emit_timeout=self._emit_timeout,
                    one_replica=self._one_replica,
                )
                self._links.start()
            return self._links

    def stop(self, *, retire: bool | None = None) -> None:
        """Drains and detaches: takes no new events, and waits for running handlers.

        The wait ends after `drain_timeout`; it cannot be cancelled.

        Args:
            retire: Whether the service retires with its last instance; None means as it was made.
        """
        retire = self._retire if retire is None else retire
        self._stop.set()
        with self._lock:
            links, self._links = self._links, None
            if self._renewal is not None:
                self._renewal.cancel()
        if links is not None:
            _log.info("draining", service=self.name, limit=f"{self._drain_timeout:g}s")
            links.stop(self._drain_timeout, retire=links.settings.retire if retire is None else retire)
        self._invoker.close()

    def wait_attached(self, timeout: float | None = None) -> None:
        """Waits until a broker has accepted the service. `stop()` ends the wait.

        Args:
            timeout: How long, in seconds; None means without limit.

        Raises:
            RegistrationError: The broker rejected the registrations.
            BrokerUnavailableError: The timeout has passed.
        """
        self.start().wait_attached(timeout)

    def wait_registered(self, timeout: float | None = None) -> None:
        """Waits until the brokers have accepted all handlers added or removed since the start.

        The wait cannot be cancelled; use a timeout.

        Args:
            timeout: How long, in seconds; None means without limit.

        Raises:
            RegistrationError: A broker rejected the registrations; the previous ones stay in force.
            BrokerUnavailableError: The timeout has passed.
        """
        links = self.start()
        self._send_registrations()
        links.wait_registered(timeout)

    def drain_on_signals(self, *numbers: int) -> None:
        """Drains at a signal that another program part handles, such as a WSGI server.

        For programs that do not call `run`. Call it in the main thread, after the server has
        installed its signal handlers: with gunicorn, in the hook `post_worker_init`. The server's
        handler runs after the drain has begun. A signal without a handler ends the process after
        the drain; a second one ends it at once.

        Args:
            *numbers: The signals; SIGTERM when none is named.

        Raises:
            ValueError: This is not the main thread.
        """
        for number in numbers or (signal.SIGTERM,):
            drain_at(number, self.stop)

    @property
    def stopped(self) -> bool:
        """Whether the service was stopped, or is about to be, and was not started again."""
        return self._stop.is_set()

    @property
    def started(self) -> bool:
        """Whether the service is attached, or tries to attach."""
        return self._links is not None

    @property
    def attached(self) -> bool:
        """Whether the service is attached now."""
        links = self._links
        return links is not None and links.attached.is_set()

    @property
    def replicas(self) -> tuple[str, ...]:
        """The replicas that the service is attached to now."""
        links = self._links
        return () if links is None else tuple(link.replica for link in links.live)

    @property
    def unhandled(self) -> int:
        """How many events had no handler."""
        return self._invoker.unhandled

    @property
    def public_url(self) -> str:
        """The address for browsers, once a broker has sent it."""
        links = self._links
        return "" if links is None or links.welcome is None else links.welcome.public_url

    def __enter__(self) -> Service:
        self.wait_attached(30)
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    async def __aenter__(self) -> Service:
        """Attaches; coroutine handlers then run on the loop of the caller."""
        self._invoker.loop = asyncio.get_running_loop()
        await asyncio.to_thread(self.wait_attached, 30)
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self.stop)

    def _renew(self) -> None:
        """Schedules an update of the registrations at the brokers."""
        with self._lock:
            if self._links is None or self._renewal is not None:
                return
            self._renewal = threading.Timer(_RENEW_AFTER, self._send_registrations)
            self._renewal.daemon = True
            self._renewal.start()

    def _send_registrations(self) -> None:
        """Sends changed registrations to the brokers, unless that was done meanwhile."""
        with self._lock:
            links, renewal, self._renewal = self._links, self._renewal, None
        if links is not None and renewal is not None:
            renewal.cancel()
            links.update()

    def _forked(self) -> None:
        """Resets the service in a child process.

        Threads and streams stay with the parent, so the child is another instance.
        """
        self._lock = threading.Lock()
        self._links = None
        self._renewal = None
        self._invoker = Invoker(self, self, self._codec)
        self._stop = threading.Event()
        self.instance_id = _instance_id()
        self._process = os.getpid()

    # What the other modules call.

    def _ready_link(self) -> Link:
        """Returns the link for a command, once one has been attached.

        Afterwards its queue bridges the gaps between streams.
        """
        links = self._links
        if links is None:
            links = self.start()
        if links.welcome is None:
            links.wait_attached(0 if on_loop() else self._emit_timeout)
        return links.current()

    def _register(self, registrations: list[handler_pb2.Registration]) -> handler_pb2.Register:
        """Returns the registration of the instance."""
        mode = handler_pb2.DELIVERY_MODE_AT_MOST_ONCE if self._at_most_once else handler_pb2.DELIVERY_MODE_AT_LEAST_ONCE
        return handler_pb2.Register(
            protocol_version=_PROTOCOL_VERSION,
            service=self.name,
            instance_id=self.instance_id,
            sdk_name="spanwire-python",
            sdk_version=__version__,
            registrations=registrations,
            window=self._window,
            delivery_mode=mode,
            credentials=self._credentials,
        )


def _instance_id() -> str:
    """Returns a name that people recognise and no other process has."""
    host = "".join(c if c.isascii() and (c.isalnum() or c in "-_.") else "-" for c in stdlib_socket.gethostname())
    return f"{host[:64] or 'host'}-{os.getpid()}-{secrets.token_hex(4)}"


def _watch_process(service: Service) -> None:
    """Resets a service in child processes, and drains it when this process ends."""
    reference = weakref.ref(service)

    def forked() -> None:
        alive = reference()
        if alive is not None:
            alive._forked()

    def ending() -> None:
        alive = reference()
        if alive is not None:
            alive.stop()

    os.register_at_fork(after_in_child=forked)
    # Servers that end their workers by leaving Python's main function do not notify applications.
    atexit.register(ending)
