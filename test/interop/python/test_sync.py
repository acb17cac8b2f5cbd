# SPDX-License-Identifier: Apache-2.0
"""The threaded client of python-socketio."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import socketio
from conftest import LIMIT, Cluster, until

TRANSPORTS = {"polling": ["polling"], "websocket": ["websocket"], "upgrade": ["polling", "websocket"]}


class Client(socketio.Client):
    """A client that keeps the events that it receives."""

    def __init__(self) -> None:
        super().__init__(reconnection_delay=0.05, reconnection_delay_max=0.2)
        self.seen: list[tuple[Any, ...]] = []
        self.reasons: list[str] = []
        self.on("*", lambda event, *args: self.seen.append((event, *args)))
        self.on("disconnect", lambda reason: self.reasons.append(reason))

    def heard(self, event: str) -> list[tuple[Any, ...]]:
        return [e[1:] for e in self.seen if e[0] == event]

    def first(self, event: str, n: int = 1) -> tuple[Any, ...]:
        until(f"event {event!r} number {n}", lambda: len(self.heard(event)) >= n)
        return self.heard(event)[n - 1]

    def ask(self, event: str, *args: Any, namespace: str | None = None) -> Any:
        answer = self.call(event, args, timeout=LIMIT, namespace=namespace)
        return list(answer) if isinstance(answer, tuple) else answer


@pytest.fixture(params=TRANSPORTS)
def connect(request: pytest.FixtureRequest, cluster: Cluster) -> Iterator[Callable[..., Client]]:
    clients = []

    def make(auth: Any = None, namespaces: list[str] | None = None) -> Client:
        client = Client()
        clients.append(client)
        client.connect(
            cluster.url, transports=TRANSPORTS[request.param], auth=auth, namespaces=namespaces, wait_timeout=LIMIT
        )
        return client

    yield make
    for client in clients:
        client.shutdown()


def test_burst(connect: Callable[..., Client]) -> None:
    """By polling this client takes 16 packets in one answer and closes over more."""
    client = connect()
    client.emit("burst", (2000, "x" * 100))
    client.first("burst", 2000)
    # This client hands each event to a thread of its own, so they may be seen in any order.
    assert sorted(i for i, _ in client.heard("burst")) == list(range(2000))
    assert client.ask("echo", 1) == 1


def test_connects_with_auth(connect: Callable[..., Client]) -> None:
    client = connect(auth={"hello": [{"a": "ü"}]})
    assert client.first("hello") == ({"a": "ü"},)
    handshake = client.ask("handshake")
    assert handshake["id"] == client.get_sid()
    assert handshake["auth"] == {"hello": [{"a": "ü"}]}


def test_is_refused(connect: Callable[..., Client], cluster: Cluster) -> None:
    with pytest.raises(socketio.exceptions.ConnectionError):
        connect(auth={"refuse": "no"})
    errors: list[Any] = []
    client = socketio.Client(reconnection=False)
    client.on("connect_error", errors.append)
    with pytest.raises(socketio.exceptions.ConnectionError):
        client.connect(cluster.url, auth={"refuse": "no", "data": {"code": 401}}, wait_timeout=LIMIT)
    until("the refusal", lambda: errors)
    assert errors[0] == {"message": "no", "data": {"code": 401}}


def test_is_refused_in_unknown_namespace(connect: Callable[..., Client]) -> None:
    with pytest.raises(socketio.exceptions.ConnectionError):
        connect(namespaces=["/nobody"])


def test_gets_acks(connect: Callable[..., Client]) -> None:
    client = connect()
    assert client.ask("echo") is None
    assert client.ask("echo", 1) == 1
    assert client.ask("echo", "ü 漢字 🎉", {"k": [None, True, 1.5]}) == ["ü 漢字 🎉", {"k": [None, True, 1.5]}]


def test_gets_binary(connect: Callable[..., Client]) -> None:
    client = connect()
    data = bytes(range(256))
    assert client.ask("echo", {"file": data, "empty": b"", "list": [b"x"]}) == {"file": data, "empty": b"", "list": [b"x"]}
    client.emit("reflect", (data, {"deep": [b""]}))
    assert client.first("reflected") == (data, {"deep": [b""]})


def test_answers_the_server(connect: Callable[..., Client]) -> None:
    client = connect()
    client.on("question", lambda *args: (*reversed(args), b"more"))
    assert client.ask("ask", 1, {"b": b"in"}) == [{"b": b"in"}, 1, b"more"]


def test_gets_every_event(connect: Callable[..., Client]) -> None:
    client = connect()
    # Ten at a time: over polling this client gives up when a server sends it more than 16 packets
    # at once.
    for start in range(0, 300, 10):
        for i in range(start, start + 10):
            client.emit("reflect", i)
        until("ten events", lambda start=start: len(client.heard("reflected")) >= start + 10)
    # The client hands each event to a thread of its own, so the order is not to be seen.
    assert sorted(n for (n,) in client.heard("reflected")) == list(range(300))


def test_sends_what_is_large(connect: Callable[..., Client]) -> None:
    client = connect()
    text = "€" * 100_000
    assert client.ask("echo", text) == text
    assert client.ask("echo", b"\x07" * 500_000) == b"\x07" * 500_000


def test_rooms(connect: Callable[..., Client]) -> None:
    a, b = connect(), connect(auth={"rooms": ["blue"]})
    a.ask("broadcast", {"event": "blue", "args": [1], "to": ["blue"]})
    a.ask("broadcast", {"event": "others", "others": True})
    a.ask("broadcast", {"event": "all"})
    assert b.first("blue") == (1,)
    assert b.first("others") == ()
    assert b.first("all") == a.first("all") == ()
    assert a.heard("blue") == a.heard("others") == []


def test_two_namespaces(connect: Callable[..., Client]) -> None:
    client = connect(auth={"admin": True}, namespaces=["/", "/admin"])
    assert client.ask("echo", 1, namespace="/admin") == 1
    assert client.ask("echo", 2) == 2
    assert client.get_sid("/") != client.get_sid("/admin")


def test_is_disconnected_by_the_server(connect: Callable[..., Client]) -> None:
    client = connect()
    client.emit("kick", False)
    until("the end", lambda: client.reasons)
    assert client.reasons == [client.reason.SERVER_DISCONNECT]
    assert not client.connected


def test_tells_the_handler_that_it_left(connect: Callable[..., Client]) -> None:
    watcher = connect(auth={"rooms": ["watchers"]})
    leaver = connect()
    sid = leaver.get_sid()
    leaver.disconnect()
    until("the leaving", lambda: [e for e in watcher.heard("left") if e[0] == sid])
    [(_, reason)] = [e for e in watcher.heard("left") if e[0] == sid]
    # Over WebSocket this client may close its connection before its goodbye is written.
    assert reason in ("client namespace disconnect", "transport close")


# Over polling this client takes the server's close for good, as it does with every server.
@pytest.mark.parametrize("connect", ["websocket", "upgrade"], indirect=True)
def test_reconnects(connect: Callable[..., Client]) -> None:
    client = connect()
    before = client.get_sid()
    client.eio.send("9 is no packet")  # the server closes the session
    until("a new id", lambda: client.connected and client.get_sid() not in (None, before))
    assert client.ask("echo", 1) == 1


def test_stays_when_the_handler_is_replaced(connect: Callable[..., Client], cluster: Cluster) -> None:
    client = connect()
    sid = client.get_sid()
    name = cluster.handler()
    assert client.ask("echo", 1) == 1
    cluster.end(name)
    assert client.ask("echo", 2) == 2
    assert client.get_sid() == sid
    assert client.reasons == []
