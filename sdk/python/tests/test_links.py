# SPDX-License-Identifier: Apache-2.0
"""A service that is attached to several replicas, each a broker in this process."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
from fakebroker import WAIT, Attachment, FakeBroker

import spanwire
from spanwire._proto import command_pb2, handler_pb2
from spanwire.exceptions import RegistrationError

Make = Callable[..., spanwire.Service]


def topology(*brokers: FakeBroker, **others: str) -> handler_pb2.Topology:
    replicas = [handler_pb2.Replica(id=b.replica, address=b.address) for b in brokers]
    return handler_pb2.Topology(replicas=replicas + [handler_pb2.Replica(id=i, address=a) for i, a in others.items()])


@pytest.fixture
def cluster() -> Iterator[tuple[FakeBroker, FakeBroker]]:
    """Two replicas that list each other, and share the ids of dispatches."""
    one, two = FakeBroker(replica="one"), FakeBroker(replica="two")
    one.topology = two.topology = topology(one, two)
    two.ids = one.ids
    yield one, two
    one.stop()
    two.stop()


@pytest.fixture
def service(cluster: tuple[FakeBroker, FakeBroker]) -> Iterator[Make]:
    made: list[spanwire.Service] = []

    def make(**options: Any) -> spanwire.Service:
        options.setdefault("drain_timeout", 5)
        new = spanwire.Service("tests", address=options.pop("address", cluster[0].address), **options)
        made.append(new)
        return new

    yield make
    for old in made:
        old.stop()


def both(cluster: tuple[FakeBroker, FakeBroker]) -> tuple[Attachment, Attachment]:
    return cluster[0].attached(), cluster[1].attached()


def until(condition: Callable[[], Any]) -> None:
    waiting = threading.Event()
    for _ in range(int(WAIT * 100)):
        if condition():
            return
        waiting.wait(0.01)
    raise AssertionError("nothing happened")


# One address is enough: the broker lists the other replica, and both deliver events; the commands
# of a handler go to the replica of its event, before its ack.
def test_attaches_to_all(cluster: tuple[FakeBroker, FakeBroker], service: Make) -> None:
    s = service()

    @s.on("x")
    def x(socket: Any) -> str:
        socket.emit("mine")
        s.emit("all")
        return socket.id

    s.start()
    for stream, sid in zip(both(cluster), "ab", strict=True):
        assert stream.register.instance_id == s.instance_id
        assert stream.ack(stream.dispatch("x", sid=sid)) == [sid]
        assert [e[0] for e in stream.emits(2)] == ["mine", "all"]
    until(lambda: len(s.replicas) == 2)
    assert set(s.replicas) == {"one", "two"}
    # One scheduler: a leader for each, and the watchdog.
    assert len([t for t in threading.enumerate() if t.name.startswith("spanwire-") and "welcome" not in t.name]) == 3


# The commands of coroutines go to the replica of their event too.
def test_coroutine_keeps_to_its_replica(cluster: tuple[FakeBroker, FakeBroker], service: Make) -> None:
    s = service()

    @s.on("x")
    async def x(socket: Any) -> None:
        s.emit("all", socket.id)

    s.start()
    for stream, sid in zip(both(cluster), "ab", strict=True):
        stream.result(stream.dispatch("x", sid=sid))
        assert stream.emits()[0][1] == [sid]


# Emits outside handlers go to one replica that does not drain.
def test_prefers_replicas_that_stay(cluster: tuple[FakeBroker, FakeBroker], service: Make) -> None:
    s = service()
    s.on("x")(lambda socket: None)
    s.start()
    one, two = both(cluster)
    until(lambda: len(s.replicas) == 2)
    s.emit("first")
    assert one.emits()[0][0] == "first"
    one.send(drain=handler_pb2.Drain())
    one.result(one.dispatch("x"))
    s.emit("second")
    assert two.emits()[0][0] == "second"
    two.send(drain=handler_pb2.Drain())
    two.result(two.dispatch("x", sid="s2"))
    s.emit("third")
    assert two.emits(2)[1][0] == "third"


# A message that arrives from each replica is handled once.
def test_messages_come_once(cluster: tuple[FakeBroker, FakeBroker], service: Make) -> None:
    s = service()
    seen: list[int] = []
    s.on_message("m")(lambda message, n: seen.append(n))
    s.start()
    one, two = both(cluster)
    for n in range(5):
        number = one.message("m", n)
        one.result(number)
        two.result(two.message("m", n, number=number))
    assert seen == [0, 1, 2, 3, 4]


def break_off(s: spanwire.Service, one: Attachment) -> None:
    """Breaks the stream to the replica "one" and waits until the service has noticed."""
    link = next(link for link in s.start().live if link.replica == "one")
    before = link.conversation.generation
    one.break_off()
    # It may have attached again by the time that this looks.
    until(lambda: not link.live or link.conversation.generation != before)


# An unconfirmed result, with the commands before it, answers the redelivery of its dispatch by
# another replica.
def test_redelivered_elsewhere(cluster: tuple[FakeBroker, FakeBroker], service: Make) -> None:
    s = service()
    runs: list[str] = []

    @s.on("x")
    def x(socket: Any) -> str:
        runs.append(socket.id)
        socket.emit("noted")
        return "done"

    s.start()
    one, two = both(cluster)
    until(lambda: len(s.replicas) == 2)
    cluster[0].answering = False
    number = one.dispatch("x")
    one.ack(number)
    break_off(s, one)
    assert two.ack(two.dispatch("x", number=number, redeliveries=1)) == ["done"]
    assert two.emits()[0][0] == "noted"
    assert runs == ["s1"]


# The same while its stream is still open, because other replicas have declared its replica dead.
def test_redelivered_before_the_loss_is_noticed(cluster: tuple[FakeBroker, FakeBroker], service: Make) -> None:
    s = service()
    runs: list[str] = []
    s.on("x")(lambda socket: runs.append(socket.id) or "done")
    s.start()
    one, two = both(cluster)
    cluster[0].answering = False
    number = one.dispatch("x")
    one.ack(number)
    assert two.ack(two.dispatch("x", number=number, redeliveries=1)) == ["done"]
    assert runs == ["s1"]


# A handler that still runs when its event is redelivered answers the redelivery; events that wait
# behind it move, too.
@pytest.mark.parametrize("broken", [False, True])
def test_redelivered_while_running(cluster: tuple[FakeBroker, FakeBroker], service: Make, broken: bool) -> None:
    s = service()
    gate = threading.Event()
    begun = threading.Event()
    runs: list[int] = []

    @s.on("x")
    def x(socket: Any, n: int) -> int:
        runs.append(n)
        begun.set()
        assert gate.wait(WAIT)
        return n

    s.start()
    one, two = both(cluster)
    until(lambda: len(s.replicas) == 2)
    first, second = one.dispatch("x", 1), one.dispatch("x", 2)
    assert begun.wait(WAIT)
    one.wait(lambda: one.answered >= one.sequence)
    if broken:
        break_off(s, one)
    two.dispatch("x", 1, number=first, redeliveries=1)
    two.dispatch("x", 2, number=second, redeliveries=1)
    two.wait(lambda: two.answered >= two.sequence)
    gate.set()
    assert (two.ack(first), two.ack(second)) == ([1], [2])
    assert runs == [1, 2]


# Commands that a lost link has not sent go over another one.
def test_unsent_commands_move(cluster: tuple[FakeBroker, FakeBroker], service: Make) -> None:
    s = service()
    s.on("x")(lambda socket: None)
    s.start()
    one, two = both(cluster)
    until(lambda: len(s.replicas) == 2)
    cluster[0].answering = False
    for n in range(6):
        s.emit("e", n)
    one.emits(2)  # as many frames as the window allows
    cluster[0].refusal = (grpc.StatusCode.UNAVAILABLE, "away")
    one.break_off()
    sent = [e[1] for e in one.emits()]
    missing = [[n] for n in range(6) if [n] not in sent]
    assert missing
    assert [e[1] for e in two.emits(len(missing))] == missing
    s.emit("later")
    assert two.emits(len(missing) + 1)[-1][0] == "later"


# The service attaches to a new replica, stops dialling one that has left, and tolerates one that it
# cannot reach.
def test_topology(
    cluster: tuple[FakeBroker, FakeBroker], service: Make, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spanwire._dial._CONNECT_TIMEOUT", 0.2)
    one, two = cluster
    one.topology = topology(one)
    s = service()
    s.on("x")(lambda socket: None)
    with caplog.at_level(logging.DEBUG, "spanwire"):
        s.start()
        first = one.attached()
        until(lambda: s.replicas == ("one",))
        first.send(topology=topology(one, two, nobody="127.0.0.1:1"))
        second = two.attached()
        until(lambda: any("127.0.0.1:1" in r.getMessage() for r in caplog.records))
        assert not [r for r in caplog.records if r.levelno > logging.INFO]
    first.send(topology=topology(one))
    first.result(first.dispatch("x"))
    assert second.ack(second.dispatch("x", sid="s2")) == []  # its stream still stands
    second.out.put(None)
    until(lambda: [link.address for link in s.start().links] == [one.address])


# Two addresses may lead to one replica: the newest stream stays, and the other address waits until
# that is lost.
def test_two_addresses_of_one_replica(cluster: tuple[FakeBroker, FakeBroker], service: Make) -> None:
    one, two = cluster
    one.replica = two.replica = "same"
    one.topology = two.topology = None
    s = service(address=f"{one.address},{two.address}")
    s.on("x")(lambda socket: "ok")
    s.start()
    links = s.start()
    until(lambda: len(s.replicas) == 1 and any(link.parked for link in links.links))
    (live,) = links.live
    holder, other = (one, two) if live.address == one.address else (two, one)
    stream = holder.attached()
    assert stream.ack(stream.dispatch("x")) == ["ok"]
    while not other.empty():  # the stream that made room may have been seen
        other.attached()
    holder.refusal = (grpc.StatusCode.UNAVAILABLE, "away")
    stream.break_off()
    again = other.attached()
    assert again.ack(again.dispatch("x")) == ["ok"]


# With one_replica an instance stays with the addresses that it was given.
def test_one_replica(cluster: tuple[FakeBroker, FakeBroker], service: Make) -> None:
    s = service(one_replica=True)
    s.on("x")(lambda socket: "ok")
    s.start()
    stream = cluster[0].attached()
    assert stream.ack(stream.dispatch("x")) == ["ok"]
    assert len(s.start().links) == 1


# stop() drains every stream.
def test_drains_all(cluster: tuple[FakeBroker, FakeBroker], service: Make) -> None:
    s = service()
    s.on("x")(lambda socket: None)
    s.start()
    one, two = both(cluster)
    until(lambda: len(s.replicas) == 2)
    s.stop()
    assert one.draining
    assert two.draining
    assert not [t for t in threading.enumerate() if t.name.startswith("spanwire")]


# Every broker is notified of handlers that are added or removed later, without a new stream.
def test_registrations_at_run_time(cluster: tuple[FakeBroker, FakeBroker], service: Make) -> None:
    s = service()
    s.on("x")(lambda socket: "x")
    s.start()
    streams = both(cluster)
    until(lambda: len(s.replicas) == 2)
    s.on("y")(lambda socket: "y")
    s.on("z", namespace="/new")(lambda socket: "z")
    s.wait_registered(WAIT)
    for stream in streams:
        assert [(r.namespace, list(r.events)) for r in stream.changes[-1]] == [("/", ["x", "y"]), ("/new", ["z"])]
        assert len(stream.changes) == 1
    assert streams[0].ack(streams[0].dispatch("y")) == ["y"]
    s.remove("z", namespace="/new")
    s.remove("x")
    s.wait_registered(WAIT)
    for stream in streams:
        assert [(r.namespace, list(r.events)) for r in stream.changes[-1]] == [("/", ["y"])]
    s.remove("y")
    s.wait_registered(WAIT)
    assert [(r.namespace, list(r.events)) for r in streams[0].changes[-1]] == [("/", [])]
    with pytest.raises(KeyError, match="nothing"):
        s.remove("nothing")


# Registrations that a broker rejects are an error; the previous ones stay in force, also on the
# next stream.
def test_registrations_refused(cluster: tuple[FakeBroker, FakeBroker], service: Make) -> None:
    cluster[0].topology = None
    s = service()
    s.on("x")(lambda socket: "x")
    s.start()
    stream = cluster[0].attached()
    cluster[0].registered = handler_pb2.Registered(
        fault=command_pb2.Fault(code=command_pb2.FAULT_CODE_INVALID, message="no such thing")
    )
    s.on("bad")(lambda socket: "bad")
    with pytest.raises(RegistrationError, match="no such thing"):
        s.wait_registered(WAIT)
    stream.break_off()
    again = cluster[0].attached()
    assert [list(r.events) for r in again.register.registrations] == [["x"]]
    cluster[0].registered = handler_pb2.Registered()
    s.remove("bad")
    s.on("good")(lambda socket: "good")
    s.wait_registered(WAIT)
    assert [list(r.events) for r in again.changes[-1]] == [["good", "x"]]


# The service attaches again to a broker that does not know changed registrations, whether it says
# so or not.
@pytest.mark.parametrize("how", ["registered", "fault", "silent"])
def test_registrations_with_an_old_broker(
    cluster: tuple[FakeBroker, FakeBroker], service: Make, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spanwire._link._REGISTERED_TIMEOUT", 0.2)
    broker = cluster[0]
    broker.topology = None
    fault = command_pb2.Fault(code=command_pb2.FAULT_CODE_UNIMPLEMENTED, message="what?")
    broker.registered = handler_pb2.Registered(fault=fault) if how == "registered" else None
    s = service()
    s.on("x")(lambda socket: "x")
    s.start()
    stream = broker.attached()
    s.on("y")(lambda socket: "y")
    if how == "fault":
        stream.wait(lambda: stream.changes)
        stream.send(fault=fault)
    again = broker.attached()
    assert [list(r.events) for r in again.register.registrations] == [["x", "y"]]
    s.wait_registered(WAIT)


# Events of a concurrent handler run beside others of their socket, which keep their order.
def test_concurrent(cluster: tuple[FakeBroker, FakeBroker], service: Make) -> None:
    s = service()
    gate = threading.Event()
    s.on("any", concurrent=True)(lambda socket, n: gate.wait(WAIT) and n)
    s.on("plain")(lambda socket: "plain")

    @s.on("coroutine", concurrent=True)
    async def coroutine(socket: Any) -> str:
        return "coroutine"

    s.start()
    stream = cluster[0].attached()
    blocked = [stream.dispatch("any", n) for n in range(3)]
    assert stream.ack(stream.dispatch("plain")) == ["plain"]
    assert stream.ack(stream.dispatch("coroutine")) == ["coroutine"]
    assert not set(blocked) & set(stream.results)
    gate.set()
    assert [stream.ack(n) for n in blocked] == [[0], [1], [2]]


# A handler that never returns occupies some threads, but not all, however many sockets call it.
def test_stuck_handler(cluster: tuple[FakeBroker, FakeBroker], service: Make) -> None:
    s = service(workers=8, drain_timeout=0.2)
    gate = threading.Event()
    stuck = 0

    @s.on("poison")
    def poison(socket: Any) -> None:
        nonlocal stuck
        stuck += 1
        gate.wait()

    s.on("healthy")(lambda socket: "healthy")
    s.on("waits")(lambda socket: threading.Event().wait(0.01) or "waited")
    s.start()
    stream = cluster[0].attached()
    numbers = []
    for n in range(60):
        stream.dispatch("poison", sid=f"p{n}")
        numbers.append((stream.dispatch("healthy", sid=f"h{n}"), ["healthy"]))
        numbers.append((stream.dispatch("waits", sid=f"w{n}"), ["waited"]))
    for number, answer in numbers:
        assert stream.ack(number) == answer
    assert stuck == 6  # three quarters of the workers
    assert s.start().scheduler.running()
    gate.set()
    until(lambda: stuck == 60)
