# SPDX-License-Identifier: Apache-2.0
"""The service: handlers by name, and the link that brings them their events."""

from __future__ import annotations

import asyncio
import atexit
import builtins
import contextlib
import functools
import logging
import os
import secrets
import signal
import socket as stdlib_socket
import threading
import weakref
from collections.abc import Iterable, Iterator
from typing import Any

from ._checks import Space, check_name, check_seconds
from ._link import Link
from ._links import Links
from ._payloads import Codec, Json
from ._performer import Performer
from ._proto import handler_pb2
from ._registering import Registering
from ._routes import Routes
from ._settings import Settings, Token
from ._verbs import Verbs, on_loop
from ._version import __version__
from .exceptions import RegistrationError

__all__ = ["Service"]

log = logging.getLogger("spanwire")

_PROTOCOL_VERSION = 1
_BuiltinRefused = builtins.ConnectionRefusedError
_RENEW_AFTER = 0.05  # seconds, so that handlers that are registered one after another cost one new stream


class Service(Registering, Verbs):
    """A named kind of handler: register functions for events, then `run()` it.

    Example::

        service = Service("chat")

        @service.on("my event")
        def my_event(socket, data):
            socket.emit("my response", data)

        service.run()

    Handlers of one socket run one after another, in the order the browser sent the events; handlers of different sockets at the
    same time. A handler may block, and emit from anywhere; what it emits before it returns reaches the browser before its ack
    does, and what it returns is the ack. `async def` handlers run on one event loop.

    An event is handed out at least once: when the stream breaks before its result arrived, it may come again, here or to
    another instance.

    Args:
        name: The service's name; instances with the same name share its events.
        address: Where the brokers' doors for services are, with commas between several; `SPANWIRE_ADDRESS` when None. One is
            enough: the service learns of the other replicas, and attaches to each.
        workers: How many handlers may block at the same time.
        window: How many events may be open here; zero means the broker's default.
        at_most_once: Drops events whose instance went away, rather than handing them out again.
        credentials: Asks for the headers Cookie and Authorization of handshakes.
        one_replica: Attaches to the addresses that are given only, not to the other replicas that the broker tells of.
        namespaces: Namespaces, or patterns, to register beside those that have handlers of their own, for handlers of
            namespace "*".
        json: A stand-in for the `json` module.
        drain_timeout: How long stopping waits for running handlers, in seconds.
        retire: Whether the service retires when its last instance stops: connects no longer wait for it, and its queued events
            are dropped. For services that are renamed or removed, and for development. `SPANWIRE_RETIRE` when None.
        emit_timeout: How long an emit waits while the queue to the broker is full, in seconds.
        max_queue_bytes: How many bytes of emits may wait for the broker.
        token: The secret for the services' door; a function that is asked for it each time that a stream is opened; or the path
            of a file that is read each time. `SPANWIRE_TOKEN` when None.
        tls_ca: A file with the certificates to trust; `SPANWIRE_TLS_CA` when None.
        tls_cert: A file with the certificate to show, and those between it and its authority.
        tls_key: A file with its key.
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
        self._workers = workers
        self._window = window
        self._at_most_once = at_most_once
        self._credentials = credentials
        self._one_replica = one_replica
        self._door: dict[str, Any] = {"token": token, "tls_ca": tls_ca, "tls_cert": tls_cert, "tls_key": tls_key}
        self._drain_timeout = check_seconds(drain_timeout, "drain_timeout") or 0.0
        self._retire = retire
        self._emit_timeout = check_seconds(emit_timeout, "emit_timeout") or 0.0
        self._max_queue_bytes = max_queue_bytes
        self._codec = Codec(json)
        self._routes = Routes(namespaces)
        self._incoming = []
        self._outgoing = []
        self._performer = Performer(self, self, self._codec)
        # Guarded by the lock.
        self._lock = threading.Lock()
        self._links: Links | None = None
        self._renewal: threading.Timer | None = None
        # Seen by all.
        self.instance_id = _instance_id()
        self._process = os.getpid()
        self._stop = threading.Event()
        _watch_process(self)

    # Its life.

    def run(self) -> None:
        """Attaches and works until SIGINT or SIGTERM, or `stop()` from another thread; then drains. Blocks.

        The broker is dialled for ever; a broker that is not up yet is waited for. A second signal ends the process at once.

        Raises:
            RegistrationError: The broker refused what is registered.
        """
        with self._signals():
            links = self.start()
            while not self._stop.wait(0.5):
                if links.error is not None:
                    error = links.error
                    self.stop()
                    raise error
        self.stop()

    def start(self) -> Links:
        """Begins to attach, on threads of its own, and returns at once. Nothing happens when it has begun before.

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
                settings = Settings.read(self._address, **self._door)
                if not self._routes.registrations():
                    raise RegistrationError(f"the service {self.name!r} has no handlers to register")
                self._links = Links(
                    self._performer,
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
        """Drains and detaches: takes nothing new, waits for running handlers up to `drain_timeout`, then leaves.

        Args:
            retire: Whether the service retires with its last instance; None means what the service was made with.
        """
        retire = self._retire if retire is None else retire
        self._stop.set()
        with self._lock:
            links, self._links = self._links, None
            if self._renewal is not None:
                self._renewal.cancel()
        if links is not None:
            links.stop(self._drain_timeout, retire=links.settings.retire if retire is None else retire)
        self._performer.close()

    def wait_attached(self, timeout: float | None = None) -> None:
        """Waits until a broker has said welcome.

        Args:
            timeout: How long, in seconds; None means for ever.

        Raises:
            RegistrationError: The broker refused what is registered.
            BrokerUnavailableError: The time is over.
        """
        self.start().wait_attached(timeout)

    def wait_registered(self, timeout: float | None = None) -> None:
        """Waits until the brokers have taken what was registered or removed since the service was started.

        Args:
            timeout: How long, in seconds; None means for ever.

        Raises:
            RegistrationError: A broker refused it; what was registered before is in force.
            BrokerUnavailableError: The time is over.
        """
        links = self.start()
        self._tell_renewal()
        links.wait_registered(timeout)

    def drain_on_signals(self, *numbers: int) -> None:
        """Begins to drain at a signal whose handler belongs to somebody else, such as a WSGI server, which then goes on.

        For programs that do not call `run`. It has to be called in the main thread, and after the other party has installed its
        handlers: with gunicorn, in the hook `post_worker_init`. A signal that nobody handles ends the process after the drain; a
        second one does at once.

        Args:
            *numbers: The signals; SIGTERM when none is named.

        Raises:
            ValueError: This is not the main thread.
        """
        for number in numbers or (signal.SIGTERM,):
            before = signal.getsignal(number)
            signal.signal(number, functools.partial(self._drain_and_pass, before))

    def _drain_and_pass(self, before: Any, number: int, frame: Any) -> None:
        def drain() -> None:
            self.stop()
            if before == signal.SIG_DFL:
                os.kill(os.getpid(), number)

        signal.signal(number, before if before is not None else signal.SIG_DFL)
        threading.Thread(target=drain, name="spanwire-drain").start()
        if callable(before):
            before(number, frame)

    @property
    def stopped(self) -> bool:
        """Whether the service was stopped, or is about to be, and not started again."""
        return self._stop.is_set()

    @property
    def started(self) -> bool:
        """Whether the service is attached or trying to."""
        return self._links is not None

    @property
    def attached(self) -> bool:
        """Whether the service is attached right now."""
        links = self._links
        return links is not None and links.attached.is_set()

    @property
    def replicas(self) -> tuple[str, ...]:
        """The replicas that the service is attached to right now."""
        links = self._links
        return () if links is None else tuple(link.replica for link in links.live)

    @property
    def unhandled(self) -> int:
        """How many events came that no handler was registered for."""
        return self._performer.unhandled

    @property
    def public_url(self) -> str:
        """Where browsers reach the broker, as far as it has told."""
        links = self._links
        return "" if links is None or links.welcome is None else links.welcome.public_url

    def __enter__(self) -> Service:
        self.wait_attached(30)
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    async def __aenter__(self) -> Service:
        """Attaches; coroutine handlers then run on the loop of the caller."""
        self._performer.loop = asyncio.get_running_loop()
        await asyncio.to_thread(self.wait_attached, 30)
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self.stop)

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """Turns the first SIGINT or SIGTERM into a drain; the second has its usual effect."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

        def handle(number: int, _frame: object) -> None:
            self._stop.set()
            signal.signal(number, before[signal.Signals(number)] or signal.SIG_DFL)

        for number in before:
            signal.signal(number, handle)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _renew(self) -> None:
        """Tells the brokers of a changed table, soon."""
        with self._lock:
            if self._links is None or self._renewal is not None:
                return
            self._renewal = threading.Timer(_RENEW_AFTER, self._tell_renewal)
            self._renewal.daemon = True
            self._renewal.start()

    def _tell_renewal(self) -> None:
        """Tells the brokers of a changed table, unless that was done meanwhile."""
        with self._lock:
            links, renewal, self._renewal = self._links, self._renewal, None
        if links is not None and renewal is not None:
            renewal.cancel()
            links.update()

    def _forked(self) -> None:
        """Begins anew in a child process: threads and streams stayed with the parent, so this is another instance."""
        self._lock = threading.Lock()
        self._links = None
        self._renewal = None
        self._performer = Performer(self, self, self._codec)
        self._stop = threading.Event()
        self.instance_id = _instance_id()
        self._process = os.getpid()

    # What the rest asks for.

    def _ready_link(self) -> Link:
        """The link for a command, once one has been attached; afterwards its queue bridges the gaps between streams."""
        links = self._links
        if links is None:
            links = self.start()
        if links.welcome is None:
            links.wait_attached(0 if on_loop() else self._emit_timeout)
        return links.current()

    def _register(self, registrations: list[handler_pb2.Registration]) -> handler_pb2.Register:
        """Describes the instance to the broker."""
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
    """Draws a name that people can place and no other process has."""
    host = "".join(c if c.isascii() and (c.isalnum() or c in "-_.") else "-" for c in stdlib_socket.gethostname())
    return f"{host[:64] or 'host'}-{os.getpid()}-{secrets.token_hex(4)}"


def _watch_process(service: Service) -> None:
    """Has a service begin anew in child processes, and drain at the end of this one, for as long as it lives."""
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
    # Servers that end their workers by leaving Python's main function do not tell their applications.
    atexit.register(ending)
