# SPDX-License-Identifier: Apache-2.0
"""The threaded and the asyncio client of python-socketio behind one interface."""

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import socketio

# Generous, since machines that run the matrix are busy.
LIMIT = 15.0

TRANSPORTS = {"polling": ["polling"], "websocket": ["websocket"], "upgrade": ["polling", "websocket"]}
OPTIONS: dict[str, Any] = {"reconnection_delay": 0.05, "reconnection_delay_max": 0.2, "randomization_factor": 0}


def until(what: str, condition: Callable[[], Any]) -> Any:
    """Waits until a condition holds."""
    end = time.monotonic() + LIMIT
    while not (value := condition()):
        if time.monotonic() > end:
            raise AssertionError(f"{what} did not come true")
        time.sleep(0.01)
    return value


class Threaded:
    """A socketio.Client."""

    def __init__(self, **options: Any) -> None:
        self.client = socketio.Client(**OPTIONS, **options)

    def connect(self, url: str, **how: Any) -> None:
        self.client.connect(url, **how)

    def on(self, event: str, handler: Callable[..., Any], namespace: str) -> None:
        self.client.on(event, handler, namespace=namespace)

    def emit(self, event: str, args: tuple[Any, ...], namespace: str, callback: Callable[..., None] | None = None) -> None:
        self.client.emit(event, args, namespace=namespace, callback=callback)

    def disconnect(self) -> None:
        self.client.disconnect()

    def close(self) -> None:
        """Disconnects, and ends a reconnect."""
        self.client.reconnection = False
        if abort := getattr(self.client, "_reconnect_abort", None):
            abort.set()
        if self.client.connected:
            self.client.disconnect()
        elif self.client.eio.state == "connected":
            self.client.eio.disconnect(abort=True)


class Asyncio:
    """A socketio.AsyncClient, on a loop in a thread of its own."""

    def __init__(self, **options: Any) -> None:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.client = self._run(self._make(options))

    async def _make(self, options: dict[str, Any]) -> socketio.AsyncClient:
        return socketio.AsyncClient(**OPTIONS, **options)

    def _run(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(2 * LIMIT)

    def connect(self, url: str, **how: Any) -> None:
        self._run(self.client.connect(url, **how))

    def on(self, event: str, handler: Callable[..., Any], namespace: str) -> None:
        async def handle(*args: Any) -> Any:
            return handler(*args)

        self.client.on(event, handle, namespace=namespace)

    def emit(self, event: str, args: tuple[Any, ...], namespace: str, callback: Callable[..., None] | None = None) -> None:
        self._run(self.client.emit(event, args, namespace=namespace, callback=callback))

    def disconnect(self) -> None:
        self._run(self.client.disconnect())

    def close(self) -> None:
        """Disconnects, and ends a reconnect and the loop."""

        async def end() -> None:
            self.client.reconnection = False
            if self.client.connected:
                await self.client.disconnect()
            elif self.client.eio.state == "connected":
                await self.client.eio.disconnect(abort=True)
            others = [t for t in asyncio.all_tasks() if t is not asyncio.current_task()]
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)
            # The client closes what it connected with after its goodbye; a cancelled one does not.
            if (http := getattr(self.client.eio, "http", None)) and not http.closed:
                await http.close()

        self._run(end())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()


class Client:
    """The client of the features, on one transport; it keeps the events that it receives."""

    def __init__(self, kind: str, transport: str, url: str, **options: Any) -> None:
        self.shell: Any = Threaded(**options) if kind == "sync" else Asyncio(**options)
        self.transport, self.url = transport, url

    def connect(self, namespaces: tuple[str, ...] = ("/",), auth: Any = None, wait: float = LIMIT) -> None:
        self.shell.connect(
            self.url, transports=TRANSPORTS[self.transport], namespaces=list(namespaces), auth=auth, wait_timeout=wait
        )

    def hear(self, event: str, namespace: str = "/") -> list[tuple[Any, ...]]:
        """Keeps the arguments of each event of a name."""
        heard: list[tuple[Any, ...]] = []
        self.shell.on(event, lambda *args: heard.append(args), namespace)
        return heard

    def answer(self, event: str, handler: Callable[..., Any]) -> None:
        self.shell.on(event, handler, "/")

    def emit(self, event: str, *args: Any, namespace: str = "/") -> None:
        self.shell.emit(event, args, namespace)

    def begin(self, event: str, *args: Any, namespace: str = "/") -> Callable[[], list[Any]]:
        """Emits, and returns a function that waits for the ack's arguments."""
        answers: list[list[Any]] = []
        self.shell.emit(event, args, namespace, lambda *answer: answers.append(list(answer)))

        def ack() -> list[Any]:
            arrived: list[list[Any]] = until(f"the ack of {event!r}", lambda: answers)
            return arrived[0]

        return ack

    def ask(self, event: str, *args: Any, namespace: str = "/") -> list[Any]:
        return self.begin(event, *args, namespace=namespace)()

    def sid(self, namespace: str = "/") -> str | None:
        return self.shell.client.get_sid(namespace)  # type: ignore[no-any-return]

    def disconnect(self) -> None:
        self.shell.disconnect()

    def close(self) -> None:
        self.shell.close()
