# SPDX-License-Identifier: Apache-2.0
"""Runs the Python clients of matrix.json and writes their results into the folder RESULTS.

    matrix.py DRIVER [CLIENT]

DRIVER is "python", or "python-old" with the older release on PYTHONPATH.
"""

import importlib.metadata
import json
import os
import pathlib
import sys
import time
import urllib.request
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import socketio
from matrix_client import TRANSPORTS, Client, until

TOGETHER = 3  # how many runs go on at a time: they mostly wait
FEATURES: dict[str, Callable[["World"], None]] = {}
TEXTS = ['ünïcödé 漢字 🎉👩‍👩‍👧 \u2028 \u2029 \0 \x1e " \\ \n', {"ключ 🗝": ["значение", "\ud7ff\ue000\U0010ffff"]}]


def feature(name: str) -> Callable[[Callable[["World"], None]], Callable[["World"], None]]:
    def keep(body: Callable[["World"], None]) -> Callable[["World"], None]:
        FEATURES[name] = body
        return body

    return keep


def equal(got: Any, want: Any, what: str = "what came") -> None:
    assert got == want, f"{what} is {got!r:.200}, not {want!r:.200}"


def unique(prefix: str) -> str:
    return f"{prefix} {uuid.uuid4()}"


class World:
    """Makes clients of one kind on one transport."""

    def __init__(self, client: dict[str, Any], transport: str, broker: "Broker") -> None:
        self.kind, self.transport = client["kind"], transport
        self.options = {"serializer": client["serializer"]} if "serializer" in client else {}
        # Almost the broker's max-payload. Clients of which all is binary say less, since over
        # polling base64 makes it larger.
        self.large = client.get("large", 990_000)
        self.url, self.cut = broker.line()
        self.clients: list[Client] = []

    def client(self) -> Client:
        client = Client(self.kind, self.transport, self.url, **self.options)
        self.clients.append(client)
        return client

    def connected(self, *namespaces: str, auth: Any = None) -> Client:
        client = self.client()
        client.connect(namespaces or ("/",), auth)
        return client

    def close_all(self) -> None:
        while self.clients:
            self.clients.pop().close()


@feature("connect")
def connect(world: World) -> None:
    client = world.connected()
    last = "polling" if world.transport == "polling" else "websocket"
    transport = client.shell.client.transport
    until(f"the transport {last}", lambda: transport() == last)
    equal(client.ask("echo", 1), [1])


@feature("auth")
def auth(world: World) -> None:
    sent = {"token": "t", "nested": {"list": [1, {"a": "ü"}]}}
    client = world.connected(auth=sent)
    [handshake] = client.ask("handshake")
    equal(handshake["auth"], sent)
    equal(handshake["id"], client.sid())


@feature("arguments")
def arguments(world: World) -> None:
    client = world.connected()
    heard = client.hear("reflected")
    sent = [(), (1, "two", {"three": [3, None, True, {"four": {}}]}), (None, False, 3.5, -1e-7, 2**53 - 1)]
    for i, args in enumerate(sent):
        client.emit("reflect", *args)
        # The threaded client hands each event to a thread of its own, so several at once may be
        # seen in any order.
        until("the event", lambda i=i: len(heard) > i)
    equal(heard, sent)


@feature("server-ack")
def server_ack(world: World) -> None:
    client = world.connected()
    for args in ([], ["one"], [1, {"a": [2]}, "three"]):
        equal(client.ask("echo", *args), args)


@feature("client-ack")
def client_ack(world: World) -> None:
    client = world.connected()
    client.answer("question", lambda *args: (*reversed(args), "and more"))
    equal(client.ask("ask", "x", {"y": 1}), [{"y": 1}, "x", "and more"])


@feature("binary")
def binary(world: World) -> None:
    client = world.connected()
    data = bytes(range(256))
    args = [{"deep": [{"deeper": data, "name": "ü.bin"}]}, b"\0", "between", [data, {"last": b"\xff\0"}]]
    equal(client.ask("echo", *args), args, "the ack")
    heard = client.hear("reflected")
    client.emit("reflect", *args)
    until("the event", lambda: heard)
    equal(list(heard[0]), args, "the event")
    client.answer("question", lambda value: ({"got": value}, b"\7"))
    equal(client.ask("ask", {"value": data}), [{"got": {"value": data}}, b"\7"], "the answer")


@feature("unicode")
def unicode(world: World) -> None:
    client = world.connected()
    equal(client.ask("echo", *TEXTS), TEXTS, "the ack")
    heard = client.hear("reflected")
    client.emit("reflect", *TEXTS)
    until("the event", lambda: heard)
    equal(list(heard[0]), TEXTS, "the event")


@feature("large")
def large(world: World) -> None:
    client = world.connected()
    text = "0123456789" * (world.large // 10)
    assert client.ask("echo", text) == [text], "another text came back"
    heard = client.hear("reflected")
    client.emit("reflect", text)
    until("the event", lambda: heard)
    assert heard[0] == (text,), "another text came back as an event"
    equal(client.ask("echo", "still here"), ["still here"])


@feature("concurrent-acks")
def concurrent_acks(world: World) -> None:
    client = world.connected()
    waits = [client.begin("echo", i, f"text {i}") for i in range(100)]
    equal([wait() for wait in waits], [[i, f"text {i}"] for i in range(100)])


@feature("volatile")
def volatile(world: World) -> None:
    client = world.connected()
    room, event = unique("room"), unique("volatile")
    client.ask("join", room)
    heard = client.hear(event)

    # It may be dropped whenever the transport is busy, and over polling it often is.
    def try_again() -> bool:
        client.ask("broadcast", {"event": event, "args": ["x", {"y": [1]}], "to": [room], "volatile": True})
        return bool(heard)

    until("a volatile event", try_again)
    equal(heard[0], ("x", {"y": [1]}))
    equal(client.ask("echo", "after"), ["after"])


@feature("broadcast")
def broadcast(world: World) -> None:
    clients = [world.connected(), world.connected()]
    event = unique("all")
    heard = [c.hear(event) for c in clients]
    clients[0].ask("broadcast", {"event": event, "args": ["to", {"all": True}]})
    until("the broadcast at both", lambda: all(heard))
    equal(heard, [[("to", {"all": True})]] * 2)


@feature("rooms")
def rooms(world: World) -> None:
    inside, outside = world.connected(), world.connected()
    room, event = unique("room"), unique("event")
    heard = [c.hear(event) for c in (inside, outside)]
    inside.ask("join", room)
    outside.ask("broadcast", {"event": event, "args": [1], "to": [room]})
    until("the event in the room", lambda: heard[0])
    inside.ask("leave", room)
    outside.ask("broadcast", {"event": event, "args": [2], "to": [room]})
    # What came after the broadcast is here, so the broadcast would be too.
    inside.ask("echo")
    outside.ask("echo")
    equal(heard, [[(1,)], []])


@feature("namespace")
def namespace(world: World) -> None:
    client = world.connected("/custom")
    equal(client.ask("echo", "custom", {"a": 1}, namespace="/custom"), ["custom", {"a": 1}])


@feature("namespaces")
def namespaces(world: World) -> None:
    client = world.connected("/", "/custom")
    waits = [client.begin("echo", i, namespace=n) for i, n in enumerate(("/", "/custom", "/"))]
    equal([wait() for wait in waits], [[0], [1], [2]])
    assert client.sid("/") != client.sid("/custom"), "both sockets have the same id"


def refuse(world: World, auth: dict[str, str]) -> Any:
    """Connects with a request to be refused, and returns what the client received."""
    client = world.client()
    heard = client.hear("connect_error", "/custom")
    try:
        # The older release waits once more as long after it was refused.
        client.connect(("/custom",), auth, wait=3)
        raise AssertionError("it is connected")
    except socketio.exceptions.ConnectionError:
        pass
    until("the refusal", lambda: heard)
    return heard[0]


@feature("refused")
def refused(world: World) -> None:
    equal(refuse(world, {"refuse": "not today 🎉"}), ({"message": "not today 🎉"},))


@feature("refused-data")
def refused_data(world: World) -> None:
    received = refuse(world, {"refuse": "not today", "code": "401"})
    equal(received, ({"message": "not today", "data": {"code": "401"}},))


@feature("client-disconnect")
def client_disconnect(world: World) -> None:
    watcher, leaver = world.connected(), world.connected()
    heard = watcher.hear("left")
    watcher.ask("join", "watchers")
    sid = leaver.sid()
    leaver.disconnect()
    until("the word of its leaving", lambda: [e for e in heard if e[0] == sid])
    [(_, reason)] = [e for e in heard if e[0] == sid]
    # Over WebSocket this client may close its connection before its goodbye is written.
    assert reason in ("client namespace disconnect", "transport close"), f"the handler received {reason!r}"


@feature("server-disconnect")
def server_disconnect(world: World) -> None:
    client = world.connected()
    heard = client.hear("disconnect")
    client.emit("kick", False)
    until("the end", lambda: heard and not client.shell.client.connected)


@feature("reconnect")
def reconnect(world: World) -> None:
    client = world.connected()
    equal(client.ask("echo", 1), [1])
    lost, back = client.hear("disconnect"), client.hear("connect")

    # Between two polls there is nothing to cut.
    def cut_again() -> bool:
        world.cut()
        time.sleep(0.2)
        return bool(lost)

    until("the loss", cut_again)
    until("the way back", lambda: back)
    equal(client.ask("echo", 2), [2])


class Broker:
    """One replica with a handler, started by test/control, over lines that can be cut."""

    def __init__(self) -> None:
        # Heartbeats are short since this client, when it is refused while it still posts, forgets
        # to close its polling session and then sits in its poll until the next one.
        self._path = f"/clusters/{self._ask('POST', '/clusters', {'replicas': 1, 'flags': ['--ping-interval', '3s']})['id']}"
        self._ask("POST", f"{self._path}/handlers", {})

    def line(self) -> tuple[str, Callable[[], None]]:
        line = self._ask("POST", f"{self._path}/lines", {})
        return line["url"], lambda: self._ask("POST", f"{self._path}/lines/{line['name']}/cut", {})

    def stop(self) -> None:
        self._ask("DELETE", self._path, None)

    def _ask(self, method: str, path: str, body: Any) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(os.environ["TEST_CONTROL"] + path, data=data, method=method)
        with urllib.request.urlopen(request, timeout=60) as response:
            return json.loads(response.read())


def run(client: dict[str, Any], transport: str, broker: Broker, features: list[str]) -> None:
    """Runs all features of one client on one transport, and stores the rows."""
    world = World(client, transport, broker)
    rows: list[dict[str, str]] = []
    broken = ""
    for name in features:
        row = {
            "client": client["id"],
            "version": importlib.metadata.version("python-socketio"),
            "transport": transport,
            "handler": os.environ["TEST_HANDLER"],
            "feature": name,
            "outcome": "ok",
        }
        rows.append(row)
        if name in client.get("without", {}):
            row["outcome"] = "not offered"
            continue
        try:
            if broken:
                raise AssertionError(broken)
            FEATURES[name](world)
        except Exception as e:
            row |= {"outcome": "failed", "why": f"{type(e).__name__}: {e}"}
            if len(rows) == 1:
                broken = f"it does not connect: {e}"
        finally:
            world.close_all()
    folder = pathlib.Path(os.environ["RESULTS"])
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{client['id']}-{transport}-{os.environ['TEST_HANDLER']}.json").write_text(json.dumps(rows, indent=1))


def main(driver: str, only: str = "") -> None:
    matrix = json.loads((pathlib.Path(__file__).parent.parent / "matrix.json").read_text())
    broker = Broker()
    try:
        with ThreadPoolExecutor(TOGETHER) as pool:
            runs = [
                pool.submit(run, client, transport, broker, table["features"])
                for table in matrix["tables"]
                for client in table["clients"]
                if client["driver"] == driver and only in ("", client["id"])
                for transport in TRANSPORTS
            ]
            for each in runs:
                each.result()
    finally:
        broker.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
    sys.stdout.flush()
    os._exit(0)  # the threaded client leaves threads behind when it is refused
