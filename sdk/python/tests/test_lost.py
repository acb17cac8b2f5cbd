# SPDX-License-Identifier: Apache-2.0
"""Sockets of dead replicas: their handlers are notified once, although no broker does it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import flask
import grpc
import pytest
from fakebroker import WAIT, Attachment, FakeBroker

import spanwire
from spanwire._proto import handler_pb2
from spanwire.flask import SocketIO

Make = Callable[..., spanwire.Service]


def until(condition: Callable[[], Any]) -> None:
    waiting = threading.Event()
    for _ in range(int(WAIT * 100)):
        if condition():
            return
        waiting.wait(0.01)
    raise AssertionError("nothing happened")


def topology(*brokers: FakeBroker) -> handler_pb2.Topology:
    return handler_pb2.Topology(replicas=[handler_pb2.Replica(id=b.replica, address=b.address) for b in brokers])


@pytest.fixture
def pair() -> Iterator[tuple[FakeBroker, FakeBroker]]:
    one, two = FakeBroker(replica="one"), FakeBroker(replica="two")
    one.replica_timeout_ms = two.replica_timeout_ms = 300
    one.topology = two.topology = topology(one, two)
    two.ids = one.ids
    yield one, two
    one.stop()
    two.stop()


class Book:
    """Writes disconnects down."""

    def __init__(self) -> None:
        self.notified: list[tuple[str, str]] = []
        self.changed = threading.Condition()

    def write(self, socket: Any, reason: str) -> None:
        with self.changed:
            self.notified.append((socket.id, reason))
            self.changed.notify_all()

    def want(self, *expected: tuple[str, str]) -> None:
        with self.changed:
            self.changed.wait_for(lambda: len(self.notified) >= len(expected), WAIT)
            assert sorted(self.notified) == sorted(expected)


@pytest.fixture
def book() -> Book:
    return Book()


@pytest.fixture
def service(book: Book) -> Iterator[Make]:
    made: list[spanwire.Service] = []

    def make(broker: FakeBroker, **options: Any) -> spanwire.Service:
        new = spanwire.Service("tests", address=broker.address, drain_timeout=5, **options)
        new.on_connect(lambda socket: None)
        new.on("x")(lambda socket: socket.id)
        new.on_disconnect(book.write)
        made.append(new)
        new.start()
        return new

    yield make
    for old in made:
        old.stop()


def die(broker: FakeBroker, stream: Attachment) -> None:
    broker.refusal = (grpc.StatusCode.UNAVAILABLE, "dead")
    stream.break_off()


# The only replica is dead: handlers of its sockets are notified after its timeout; those of others,
# and of earlier disconnects, are not.
def test_alone(broker: FakeBroker, service: Make, book: Book) -> None:
    broker.replica_timeout_ms = 300
    service(broker)
    stream = broker.attached()
    stream.result(stream.connect("fake1"))
    stream.result(stream.dispatch("x", sid="fake2"))
    stream.result(stream.dispatch("x", sid="other"))
    stream.result(stream.disconnected("fake3", reason="transport close"))
    die(broker, stream)
    book.want(("fake3", "transport close"), ("fake1", "transport error"), ("fake2", "transport error"))


# A replica that returns still has its sockets, except for those that it released; if it dies later,
# their handlers are notified.
def test_found(broker: FakeBroker, service: Make, book: Book) -> None:
    broker.replica_timeout_ms = 1000
    service(broker)
    stream = broker.attached()
    stream.result(stream.connect("fake1"))
    stream.result(stream.connect("fake2"))
    stream.break_off()
    again = broker.attached()
    again.sequence = 1
    again.send(batch=handler_pb2.DispatchBatch(sequence=1, released=["fake2"]))
    again.result(again.dispatch("x", sid="fake3"))
    assert book.notified == []
    die(broker, again)
    book.want(("fake1", "transport error"), ("fake3", "transport error"))


# The sockets stay while another replica lists the lost one, and end when it does not any more;
# later lists change nothing.
def test_judged(pair: tuple[FakeBroker, FakeBroker], service: Make, book: Book) -> None:
    one, two = pair
    s = service(one)
    first, second = one.attached(), two.attached()
    until(lambda: len(s.replicas) == 2)
    first.result(first.connect("one1"))
    first.result(first.connect("one2"))
    die(one, first)
    threading.Event().wait(1)  # more than the timeout
    assert book.notified == []
    second.result(second.dispatch("x", sid="one2"))  # lent
    second.send(topology=topology(two))
    book.want(("one1", "transport error"))
    second.result(second.disconnected("one1", reason="transport error"))
    second.result(second.disconnected("one2", reason="transport error"))
    book.want(("one1", "transport error"), ("one2", "transport error"))


# A broker that restarts at the address proves that the previous one is dead.
def test_replaced(broker: FakeBroker, service: Make, book: Book) -> None:
    broker.replica_timeout_ms = 600_000
    broker.topology = topology(broker)
    service(broker)
    stream = broker.attached()
    stream.result(stream.connect("fake1"))
    broker.replica = "next"
    broker.topology = topology(broker)
    stream.break_off()
    broker.attached()
    book.want(("fake1", "transport error"))


# The disconnect waits for running items of the socket; one that was received and not handled keeps
# its reason.
def test_order(broker: FakeBroker, book: Book) -> None:
    broker.replica_timeout_ms = 300
    s = spanwire.Service("tests", address=broker.address, drain_timeout=5)
    begun, release = threading.Event(), threading.Event()

    @s.on("x")
    def x(socket: Any) -> None:
        begun.set()
        release.wait(WAIT)
        book.write(socket, "x")

    s.on_disconnect(book.write)
    with_async: list[str] = []

    @s.on_disconnect(namespace="/a")
    async def gone(socket: Any, reason: str) -> None:
        with_async.append(reason)

    s.on("y", namespace="/a")(lambda socket: None)
    try:
        s.start()
        stream = broker.attached()
        stream.result(stream.dispatch("y", sid="fake2", namespace="/a"))
        stream.dispatch("x", sid="fake1")
        stream.disconnected("fake1", reason="ping timeout")
        assert begun.wait(WAIT)
        die(broker, stream)
        until(lambda: with_async == ["transport error"])
        assert book.notified == []
        release.set()
        book.want(("fake1", "x"), ("fake1", "ping timeout"))
        assert [reason for _, reason in book.notified] == ["x", "ping timeout"]
    finally:
        release.set()
        s.stop()


# A service that stops notifies its handlers, which no other process would do later.
def test_leaving(broker: FakeBroker, service: Make, book: Book) -> None:
    broker.replica_timeout_ms = 600_000
    s = service(broker)
    stream = broker.attached()
    stream.result(stream.connect("fake1"))
    die(broker, stream)
    until(lambda: not s.attached)
    assert book.notified == []
    s.stop()
    assert book.notified == [("fake1", "transport error")]


# Handlers of Flask applications are notified as of any disconnect, with their request context.
def test_flask(broker: FakeBroker) -> None:
    broker.replica_timeout_ms = 300
    notified: list[tuple[str, str]] = []
    socketio = SocketIO(flask.Flask("tests"), address=broker.address, drain_timeout=5)
    socketio.on("connect")(lambda: None)
    request: Any = flask.request
    socketio.on("disconnect")(lambda reason: notified.append((request.sid, reason)))
    try:
        socketio.attach(WAIT)
        stream = broker.attached()
        stream.result(stream.connect("fake1"))
        die(broker, stream)
        until(lambda: notified == [("fake1", "transport error")])
    finally:
        socketio.stop()
