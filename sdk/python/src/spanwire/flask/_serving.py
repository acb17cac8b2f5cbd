# SPDX-License-Identifier: Apache-2.0
"""The attachment of an application to the broker, and `run()`."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import weakref
from collections.abc import Callable, Iterable
from typing import Any, Protocol

import flask

from .. import _log
from .._broker import Broker, find, listening
from .._service import Service
from .._settings import Settings

__all__ = ["Attachment", "run"]

_DELAY = 0.2  # seconds after which the module of the application has registered its handlers
_SERVERS = (
    "gunicorn.arbiter",
    "uwsgi",
    "mod_wsgi",
    "waitress.server",
    "granian",
    "uvicorn.server",
    "hypercorn",
    "cheroot",
)


class Served(Protocol):
    """What `run` serves: the SocketIO object."""

    service: Service
    attachment: Attachment

    def stop(self) -> None:
        """Detaches from the broker."""


class Attachment:
    """Attaches an application when it is served, and not before.

    A shell, a test or a command that imports the application must not receive events. So the
    service starts: soon after the application was made, if a known server has been loaded by then;
    at the first HTTP request, under any other server; and in `run()`.

    A process that forks before it has attached is taken for the master of a server: its children
    attach instead.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._timer: threading.Timer | None = None
        self._forking = False
        self.pending = False

    def watch(self, app: flask.Flask) -> None:
        """Watches for signs that the application is served.

        Args:
            app: The application.
        """
        inner: Callable[..., Iterable[bytes]] = app.wsgi_app

        def wsgi_app(environ: Any, start_response: Any) -> Iterable[bytes]:
            service = self._service
            if not (service.started or service.stopped or environ.get("werkzeug.test_client") or _testing(environ)):
                self._start()
            return inner(environ, start_response)

        app.wsgi_app = wsgi_app  # type: ignore[method-assign]
        if _served():
            self._schedule()
            _at_fork(self)

    def close(self) -> None:
        """Stops watching."""
        self.pending = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _schedule(self) -> None:
        self.pending = True
        self._timer = threading.Timer(_DELAY, self._start)
        self._timer.daemon = True
        self._timer.start()

    def _start(self) -> None:
        # An application without handlers only emits.
        if self._service._routes.registrations():
            self._service.start()
        self.pending = False

    def before_fork(self) -> None:
        """Leaves attaching to the children, unless this process has attached."""
        self._forking = self._forking or self.pending
        if self.pending:
            self.close()

    def after_fork(self) -> None:
        """Attaches in a child of a master."""
        if self._forking:
            self._forking = False
            self._schedule()


def _testing(environ: Any) -> bool:
    # The test clients of Flask and Werkzeug pass an environ without a server.
    return "werkzeug.socket" not in environ and environ.get("SERVER_SOFTWARE") is None


def _served() -> bool:
    """Returns whether a server that will serve the application has been loaded."""
    if os.environ.get("FLASK_RUN_FROM_CLI") == "true":
        # With a reloader the watching process also loads the application, and does not serve it.
        return os.environ.get("WERKZEUG_RUN_MAIN") == "true"
    return any(name in sys.modules for name in _SERVERS)


def _at_fork(attachment: Attachment) -> None:
    reference = weakref.ref(attachment)

    def before() -> None:
        alive = reference()
        if alive is not None:
            alive.before_fork()

    def after() -> None:
        alive = reference()
        if alive is not None:
            alive.after_fork()

    os.register_at_fork(before=before, after_in_child=after)


def run(socketio: Served, app: flask.Flask, host: str | None, port: int | None, **kwargs: Any) -> None:
    """Serves an application; see `SocketIO.run`."""
    host = host or "127.0.0.1"
    port = port or _server_port(app) or 5000
    debug = kwargs.pop("debug", None)
    if debug is not None:
        app.debug = debug
    use_reloader = kwargs.pop("use_reloader", None)
    if use_reloader is None:
        use_reloader = app.debug
    kwargs.pop("allow_unsafe_werkzeug", None)  # nothing is unsafe about it: it carries no sockets
    if kwargs.pop("log_output", None) is False:
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
    reloader_options = kwargs.pop("reloader_options", None) or {}
    use_debugger = kwargs.pop("use_debugger", app.debug)

    settings = Settings.read(socketio.service._address)
    broker: Broker | None = None
    own = ("SPANWIRE_ADDRESS", "SPANWIRE_APP_ADDRESS", "SPANWIRE_RETIRE")
    before = {name: os.environ.get(name) for name in own}
    quiet = False
    if settings.app_address:
        host, _, number = settings.app_address.rpartition(":")
        port = int(number)
        quiet = True
    elif not settings.explicit and not listening(settings.addresses[0]):
        broker = Broker(find(settings.broker), host, port)
        broker.wait()
        print(f" * Spanwire is at http://{_display_host(host)}:{port} (Ctrl+C stops it)", flush=True)
        # A reloader runs the application in a child, which finds the broker here, so browsers stay
        # connected.
        os.environ["SPANWIRE_ADDRESS"] = broker.service_address
        os.environ["SPANWIRE_APP_ADDRESS"] = broker.upstream
        # A renamed service must not delay the page.
        os.environ.setdefault("SPANWIRE_RETIRE", "true")
        host, _, number = broker.upstream.rpartition(":")
        port = int(number)
        quiet = True
    if quiet:
        _silence_banner()
    try:
        _serve(socketio, app, host, port, use_reloader, reloader_options, use_debugger, kwargs)
    finally:
        socketio.stop()
        if broker is not None:
            broker.stop()
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)


def _serve(
    socketio: Served,
    app: flask.Flask,
    host: str,
    port: int,
    use_reloader: bool,
    reloader_options: dict[str, Any],
    use_debugger: bool,
    kwargs: dict[str, Any],
) -> None:
    from werkzeug.serving import run_simple

    known = (
        "ssl_context",
        "threaded",
        "processes",
        "request_handler",
        "static_files",
        "passthrough_errors",
        "extra_files",
    )
    options = {name: kwargs.pop(name) for name in known if name in kwargs}
    if "certfile" in kwargs:
        options["ssl_context"] = (kwargs.pop("certfile"), kwargs.pop("keyfile", None))
    if kwargs:
        _log.warning("option of run() has no effect", setting=",".join(sorted(kwargs)))
    options.setdefault("threaded", True)
    if os.environ.get("WERKZEUG_RUN_MAIN") != "true" and listening(f"{host}:{port}"):
        raise SystemExit(
            f"run: cannot serve the application at http://{_display_host(host)}:{port}: another program listens there (if it is"
            f" the broker, pass another port to run(), and start the broker with --upstream=http://{_display_host(host)}:<port>)"
        )
    serves = not use_reloader or os.environ.get("WERKZEUG_RUN_MAIN") == "true"
    if serves:
        socketio.attachment.close()
        socketio.service.start()
    # SIGTERM must unwind like Ctrl+C, so that running handlers finish and a broker of our own
    # stops.
    previous = None
    if threading.current_thread() is threading.main_thread():
        previous = signal.signal(signal.SIGTERM, _interrupt)
    try:
        run_simple(host, port, app, use_reloader=use_reloader, use_debugger=use_debugger, **reloader_options, **options)
    except KeyboardInterrupt:
        pass
    finally:
        if previous is not None:
            signal.signal(signal.SIGTERM, previous)


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


def _silence_banner() -> None:
    """Keeps Werkzeug from printing the address behind the broker, which browsers do not use."""

    class Filter(logging.Filter):
        def filter(self, record: logging.LogRecord) -> bool:
            return "Running on" not in record.getMessage()

    logging.getLogger("werkzeug").addFilter(Filter())


def _display_host(host: str) -> str:
    return "localhost" if host in ("127.0.0.1", "0.0.0.0", "::") else host  # noqa: S104


def _server_port(app: flask.Flask) -> int | None:
    name = app.config.get("SERVER_NAME")
    if name and ":" in name:
        return int(name.rsplit(":", 1)[1])
    return None
