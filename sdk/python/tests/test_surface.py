# SPDX-License-Identifier: Apache-2.0
"""Targets, queries, messages and data, against a broker in this process."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from fakebroker import HANDSHAKE, WAIT, Attachment, FakeBroker, acks

import spanwire
from spanwire import ConflictError, Emitter, Service, Target
from spanwire._proto import command_pb2, event_pb2

Make = Callable[..., Service]
Answer = command_pb2.Answer


def fault(code: Any, **fields: Any) -> Callable[[Any], Answer]:
    return lambda c: Answer(id=c.id, fault=command_pb2.Fault(code=code, message="no"), **fields)


@pytest.fixture
def attached(broker: FakeBroker, service: Make) -> tuple[Service, Attachment]:
    s = service()
    s.on("call")(lambda socket, *args: s.called(socket, *args))  # type: ignore[attr-defined]
    s.start()
    stream = broker.attached()
    s.wait_attached(WAIT)
    return s, stream


# A target never changes; each method returns another one, and the broker receives exactly the
# chosen target.
def test_targets(attached: tuple[Service, Attachment], broker: FakeBroker) -> None:
    s, stream = attached
    base = s.to("a")
    wide = base.in_(["b", "c"]).except_("d").except_(["e"]).volatile().compress(False).local()
    assert (base.rooms, base.excepted) == (("a",), ())
    assert (wide.rooms, wide.excepted, wide.namespace) == (("a", "b", "c"), ("d", "e"), "/")
    assert base == Target("a")
    assert hash(base) == hash(Target("a"))
    assert base != wide
    assert "except_=('d', 'e')" in repr(wide)
    wide.emit("x", 1)
    emit = stream.command("emit").emit
    assert (list(emit.target.rooms), list(getattr(emit.target, "except"))) == (["a", "b", "c"], ["d", "e"])
    assert emit.target.local
    assert emit.volatile
    assert emit.no_compress
    for target in (s.in_("r"), s.except_("r"), s.local(), s.volatile(), s.compress(False), s.of("/n")):
        target.send("m")
    assert [e[2:] for e in stream.emits(7)[1:]] == [
        (["r"], [], "/"),
        ([], ["r"], "/"),
        ([], [], "/"),
        ([], [], "/"),
        ([], [], "/"),
        ([], [], "/n"),
    ]
    s.to([]).emit("nobody")
    s.emit("last", to=s.to("q").volatile(), except_="w", compress=False)
    last = stream.command("emit", 7).emit
    assert last.event.name == "last"
    assert (last.volatile, last.no_compress, getattr(last.target, "except")) == (True, True, ["w"])
    with pytest.raises(RuntimeError, match="by hand"):
        Target("a").emit("x")


# Commands move and disconnect all sockets of a target.
def test_many_sockets(attached: tuple[Service, Attachment]) -> None:
    s, stream = attached
    s.sockets_join(["a", "b"])
    s.to("a").sockets_leave("b")
    s.of("/n").sockets_leave("c")
    s.sockets_leave("d")
    s.disconnect_sockets()
    s.to("a").disconnect_sockets(close=True)
    assert list(stream.command("join").join.rooms) == ["a", "b"]
    assert list(stream.command("leave").leave.target.rooms) == ["a"]
    assert stream.command("leave", 1).leave.target.namespace == "/n"
    assert list(stream.command("leave", 2).leave.rooms) == ["d"]
    assert not stream.command("disconnect").disconnect.close_session
    assert stream.command("disconnect", 1).disconnect.close_session


# A pattern is accepted where several namespaces are possible, and rejected elsewhere.
def test_pattern_target(attached: tuple[Service, Attachment]) -> None:
    s, stream = attached
    rooms = re.compile(r"/room-\d+")
    s.of(rooms).emit("x")
    s.emit("y", namespace=rooms)
    for index in (0, 1):
        target = stream.command("emit", index).emit.target
        assert (target.namespace, target.pattern) == (r"/room-\d+", True)
    one: Any = rooms
    for ask in (s.of(rooms).fetch_sockets, lambda: s.rooms(one), lambda: s.server_side_emit("m", namespace=one)):
        with pytest.raises(ValueError, match="not a pattern"):
            ask()
    for bad in (re.compile("/x", re.IGNORECASE), re.compile("(?i)/x")):
        with pytest.raises(ValueError, match="IGNORECASE"):
            s.emit("z", namespace=bad)
        with pytest.raises(ValueError, match="cannot have flags"):
            s.on("e", namespace=bad)(print)
    with pytest.raises(TypeError, match="bytes"):
        s.on("e", namespace=re.compile(b"/x"))(print)  # type: ignore[arg-type]


# A callback receives the acks of many sockets at once, and those of one socket as its client sent
# them.
def test_callbacks(attached: tuple[Service, Attachment], broker: FakeBroker, caplog: pytest.LogCaptureFixture) -> None:
    s, stream = attached
    got: list[Any] = []
    changed = threading.Condition()

    def take(*values: Any) -> None:
        with changed:
            got.append(values)
            changed.notify_all()

    def came() -> Any:
        with changed:
            assert changed.wait_for(lambda: got, WAIT)
            return got.pop()

    broker.answer = acks(("a", [1]), ("b", [2, 3]), missing=1)
    s.timeout(3).emit("q", callback=take)
    (gathered,) = came()
    assert ({a.socket_id: a.args for a in gathered.acks}, gathered.missing) == ({"a": [1], "b": [2, 3]}, 1)
    assert stream.command("emit").emit.ack_timeout_ms == 3000
    s.emit("q", volatile=True, callback=take)
    assert came()[0].sockets == 2
    assert stream.command("emit", 1).emit.volatile
    s.emit("q", to=[], callback=take)
    assert came()[0].acks == []
    broker.answer = acks(("s1", ["yes", 2]))
    s.called = lambda socket: socket.emit(  # type: ignore[attr-defined]
        "q", volatile=True, compress=False, callback=take
    )
    stream.result(stream.dispatch("call"))
    assert came() == ("yes", 2)
    assert s.to("a").timeout(2).emit_with_ack("q").acks[0].args == ["yes", 2]
    assert stream.command("emit", 3).emit.ack_timeout_ms == 2000
    broker.answer = fault(command_pb2.FAULT_CODE_INVALID)
    s.emit("q", callback=take)
    stream.command("emit", 4)
    broker.answer = acks()
    s.emit("q", callback=take)
    assert came()[0].acks == []
    assert "broker rejected a command with a callback err=no" in caplog.text
    assert not got


# A query for sockets collects the answer, in parts if it is large, and reports what is missing.
def test_fetch_sockets(attached: tuple[Service, Attachment], broker: FakeBroker) -> None:
    s, stream = attached
    info = [
        command_pb2.SocketInfo(
            socket_id=f"s{i}", rooms=[f"s{i}", "r"], handshake=HANDSHAKE, data=b'{"n":%d}' % i, data_version=i, replica="b1"
        )
        for i in range(3)
    ]
    broker.answer = lambda c: [
        Answer(id=c.id, found=info[:1], more=True),
        Answer(id=c.id, found=info[1:2], more=True, silent_replicas=["b2"]),
        Answer(id=c.id, found=info[2:]),
    ]
    found = s.of("/n").to("r").timeout(5).fetch_sockets(limit=10)
    question = stream.command("fetch_sockets").fetch_sockets
    assert (question.target.namespace, list(question.target.rooms)) == ("/n", ["r"])
    assert (question.timeout_ms, question.limit) == (5000, 10)
    assert [f.id for f in found] == ["s0", "s1", "s2"]
    assert (found.partial, found.silent_replicas, found.truncated) == (True, ("b2",), False)
    one = found[1]
    assert (one.rooms, one.data, one.data_version, one.replica, one.namespace) == (("s1", "r"), {"n": 1}, 1, "b1", "/n")
    assert one.handshake.address == "192.0.2.7"
    assert repr(one) == "RemoteSocket('s1', namespace='/n', replica='b1')"
    one.emit("hello", 1)
    one.join("a")
    one.leave(["b"])
    one.disconnect()
    one.disconnect(close=True)
    assert stream.emits(1) == [("hello", [1], ["s1"], [], "/n")]
    assert list(stream.command("join").join.target.rooms) == ["s1"]
    assert list(stream.command("leave").leave.rooms) == ["b"]
    assert stream.command("disconnect", 1).disconnect.close_session
    broker.answer = acks(("s1", ["yes"]))
    assert one.emit_with_ack("q") == ["yes"]
    assert stream.command("emit", 1).emit.ack_timeout_ms == 5000
    broker.answer = acks(missing=1)
    with pytest.raises(spanwire.AckTimeoutError):
        one.timeout(2).emit_with_ack("q")
    assert stream.command("emit", 2).emit.ack_timeout_ms == 2000
    broker.answer = lambda c: Answer(id=c.id, truncated=True, found=[command_pb2.SocketInfo(socket_id="x")])
    found = s.fetch_sockets()
    assert (found.partial, found.truncated, found[0].data) == (True, True, {})
    assert (s.to([]).fetch_sockets(), s.to([]).fetch_sockets().partial) == ([], False)
    broker.answer = fault(command_pb2.FAULT_CODE_UNIMPLEMENTED)
    with pytest.raises(spanwire.CommandError) as caught:
        s.fetch_sockets()
    assert caught.value.code == "UNIMPLEMENTED"


# A query for rooms adds up the sizes of all replicas.
def test_rooms(attached: tuple[Service, Attachment], broker: FakeBroker) -> None:
    s, stream = attached
    given = [command_pb2.RoomInfo(name=n, sockets=c) for n, c in (("a", 1), ("b", 2), ("a", 3))]
    broker.answer = lambda c: Answer(id=c.id, rooms=given)
    rooms = s.rooms("/n", own=True, local=True, timeout=1)
    assert rooms == {"a": 4, "b": 2}
    assert not rooms.partial
    question = stream.command("list_rooms").list_rooms
    assert (question.namespace, question.include_own, question.local, question.timeout_ms) == ("/n", True, True, 1000)
    broker.answer = lambda c: Answer(id=c.id, silent_replicas=["b2"])
    assert s.rooms().partial


# The data of a socket arrives with its introduction, and is set under a version.
def test_data(attached: tuple[Service, Attachment], broker: FakeBroker) -> None:
    s, stream = attached
    sockets: list[spanwire.Socket] = []
    s.called = lambda socket: (  # type: ignore[attr-defined]
        sockets.append(socket) or (socket.data, socket.data_version)
    )
    assert stream.ack(stream.dispatch("call", sid="new")) == [{}, 0]
    assert stream.ack(stream.dispatch("call", data={"user": "anna"}, version=4)) == [{"user": "anna"}, 4]
    socket = sockets[1]
    socket.data["note"] = 1
    assert stream.ack(stream.dispatch("call")) == [{"user": "anna", "note": 1}, 4]
    broker.answer = lambda c: Answer(id=c.id, data_version=5)
    assert socket.set_data({"user": "ben"}, if_version=4) == 5
    sent = stream.command("set_data").set_data
    assert (sent.namespace, sent.socket_id, sent.data, sent.if_version) == ("/", "s1", b'{"user":"ben"}', 4)
    assert (socket.data, socket.data_version) == ({"user": "ben"}, 5)
    broker.answer = fault(command_pb2.FAULT_CODE_CONFLICT, data=b'{"user":"cleo"}', data_version=8)
    with pytest.raises(ConflictError) as caught:
        socket.set_data(1, if_version=5)
    assert (caught.value.data, caught.value.version, caught.value.code) == ({"user": "cleo"}, 8, "CONFLICT")
    assert (socket.data, socket.data_version) == ({"user": "cleo"}, 8)
    broker.answer = lambda c: Answer(id=c.id, data_version=9)
    socket.set_data(None)
    assert stream.command("set_data", 2).set_data.data == b""
    assert (socket.data, socket.data_version) == ({}, 9)
    broker.answer = fault(command_pb2.FAULT_CODE_NOT_FOUND)
    with pytest.raises(spanwire.CommandError) as gone:
        socket.set_data(1)
    assert (gone.value.code, socket.data_version) == ("NOT_FOUND", 9)
    with pytest.raises(TypeError, match="bytes"):
        socket.set_data(b"x")


# A change of the data keeps what other callers set meanwhile.
def test_update_data(attached: tuple[Service, Attachment], broker: FakeBroker) -> None:
    s, stream = attached
    sockets: list[spanwire.Socket] = []
    s.called = sockets.append  # type: ignore[attr-defined]
    stream.result(stream.dispatch("call", data=[1], version=1))
    present = (b"[1,2]", 2)

    def answer(command: command_pb2.Command) -> Answer:
        if command.set_data.if_version == present[1]:
            return Answer(id=command.id, data_version=3)
        conflict = fault(command_pb2.FAULT_CODE_CONFLICT, data=present[0], data_version=present[1])
        return conflict(command)

    broker.answer = answer
    seen: list[Any] = []

    def change(value: list[int]) -> list[int]:
        seen.append(list(value))
        value.append(9)
        return value

    assert sockets[0].update_data(change) == [1, 2, 9]
    assert seen == [[1], [1, 2]]
    assert (sockets[0].data, sockets[0].data_version) == ([1, 2, 9], 3)
    # A conflict with the known version would repeat without end.
    broker.answer = fault(command_pb2.FAULT_CODE_CONFLICT, data=b"1", data_version=3)
    with pytest.raises(ConflictError):
        sockets[0].update_data(change)


# A socket knows its rooms, and whether it is connected or recovered.
def test_socket(attached: tuple[Service, Attachment], broker: FakeBroker, service: Make) -> None:
    s, stream = attached
    broker.answer = lambda c: Answer(id=c.id, found=[command_pb2.SocketInfo(socket_id="s1", rooms=["s1", "r"])])
    s.called = lambda socket: (  # type: ignore[attr-defined]
        socket.rooms(),
        socket.connected,
        socket.recovered,
    )
    stream.result(stream.connect(recovered=True))
    assert stream.ack(stream.dispatch("call")) == [["s1", "r"], True, True]
    broker.answer = lambda c: Answer(id=c.id)
    assert stream.ack(stream.dispatch("call", sid="s2")) == [[], True, False]
    gone: list[Any] = []
    s.on_disconnect(lambda socket, reason: gone.append((reason, socket.rooms(), socket.connected)))
    s.wait_registered(10)
    stream.result(stream.disconnected(rooms=("s1", "r"), reason="ping timeout"))
    assert gone == [("ping timeout", ("s1", "r"), False)]
    kept: list[spanwire.Socket] = []
    s.called = kept.append  # type: ignore[attr-defined]
    stream.result(stream.dispatch("call", sid="s3"))
    socket = kept[0]
    socket.broadcast().emit("all others")
    socket.to("r").emit("in r")
    socket.in_(["r", "q"]).except_("p").emit("in both")
    socket.except_("p").volatile().emit("elsewhere")
    assert stream.emits(4) == [
        ("all others", [], [], ["s3"], "/"),
        ("in r", [], ["r"], ["s3"], "/"),
        ("in both", [], ["r", "q"], ["s3", "p"], "/"),
        ("elsewhere", [], [], ["s3", "p"], "/"),
    ]


# Messages of other instances have their own handlers, run once, and are acknowledged.
def test_messages(broker: FakeBroker, service: Make, caplog: pytest.LogCaptureFixture) -> None:
    s = service()
    seen: list[Any] = []

    @s.on_message("sum")
    def add(message: spanwire.Message, *numbers: int) -> int:
        seen.append((message.name, message.namespace, message.service, message.instance_id))
        return sum(numbers)

    @s.on_message("*", namespace="/n")
    async def rest(message: spanwire.Message, *args: Any) -> str:
        return message.name

    s.start()
    stream = broker.attached()
    main, n = stream.register.registrations
    assert (list(main.messages), list(n.messages), list(main.events), main.room_events) == (["sum"], ["*"], [], False)
    number = stream.message("sum", 1, 2)
    assert stream.ack(number) == [3]
    assert stream.ack(stream.message("sum", 1, 2, wants_ack=False)) is None
    assert stream.ack(stream.message("anything", namespace="/n")) == ["anything"]
    assert seen == [("sum", "/", "other", "other-1")] * 2
    # Another replica brings it too.
    del stream.results[number]
    assert stream.result(stream.message("sum", 1, 2, number=number)).WhichOneof("outcome") is None
    assert len(seen) == 2
    # An event of the same name is another thing, and so is a message that nobody handles.
    assert stream.result(stream.dispatch("sum", 1)).WhichOneof("outcome") is None
    assert stream.result(stream.message("other")).WhichOneof("outcome") is None
    assert s.unhandled == 2
    assert "no handler for the message event=other" in caplog.text
    assert not s.start().memory.sockets.get("")
    for name in ("", "connect", "disconnecting"):
        with pytest.raises(ValueError, match="reserved by Socket"):
            s.on_message(name)(print)


# Messages go to other instances, and their acks are collected.
def test_server_side_emit(attached: tuple[Service, Attachment], broker: FakeBroker) -> None:
    s, stream = attached
    s.server_side_emit("m", {"a": b"x"}, services="chat")
    sent = stream.command("server_side_emit").server_side_emit
    assert (sent.event.name, sent.namespace, list(sent.services), sent.want_acks) == ("m", "/", ["chat"], False)
    assert list(sent.event.attachments) == [b"x"]
    came = [command_pb2.InstanceAck(service="chat", instance_id="c1", ack=event_pb2.Ack(args=b"[1]"))]
    broker.answer = lambda c: Answer(id=c.id, instance_acks=came, missing=2, silent_replicas=["b2"])
    answered = s.server_side_emit_with_ack("m", 1, namespace="/n", timeout=2)
    assert answered.acks == [spanwire.InstanceAck("chat", "c1", [1])]
    assert (answered.missing, answered.silent_replicas) == (2, ("b2",))
    sent = stream.command("server_side_emit", 1).server_side_emit
    assert (sent.namespace, sent.want_acks, sent.ack_timeout_ms) == ("/n", True, 2000)
    done = threading.Event()
    later: list[Any] = []
    s.server_side_emit("m", timeout=3, callback=lambda acks: (later.append(acks), done.set()))
    assert done.wait(WAIT)
    assert later == [answered]
    assert stream.command("server_side_emit", 2).server_side_emit.ack_timeout_ms == 3000
    with pytest.raises(ValueError, match="reserved"):
        s.server_side_emit("disconnect")


# Changes of rooms arrive in order with the socket's events.
def test_room_changes(broker: FakeBroker, service: Make) -> None:
    s = service()
    seen: list[Any] = []
    s.on_room("joined")(lambda socket, room: seen.append((socket.id, room)))
    s.on_room()(lambda socket, change, room: seen.append((socket.id, change, room)))
    s.on("x")(lambda socket: seen.append("x"))
    s.start()
    stream = broker.attached()
    assert stream.register.registrations[0].room_events
    for change in ("created", "joined"):
        stream.room(change, "r")
    stream.dispatch("x")
    for change in ("left", "deleted"):
        last = stream.room(change, "r")
    stream.result(last)
    assert seen == [("s1", "created", "r"), ("s1", "r"), "x", ("s1", "left", "r"), ("s1", "deleted", "r")]
    # Nobody asked for those of another namespace, so they are let pass.
    assert stream.result(stream.room("joined", "r", sid="o", namespace="/o")).WhichOneof("outcome") is None
    assert s.unhandled == 0
    with pytest.raises(ValueError, match="unknown"):
        s.on_room("painted")(print)


# Handlers of a pattern receive the actual namespace; they follow those of the exact name, and
# precede those of "*".
def test_patterns(broker: FakeBroker, service: Make) -> None:
    s = service()
    rooms = re.compile(r"/room-\d+")
    s.on("x", namespace=rooms)(lambda socket: f"pattern {socket.namespace}")
    s.on("x", namespace="/room-1")(lambda socket: "exact")
    s.on("y", namespace="*", concurrent=True)(lambda socket: f"any {socket.namespace}")
    s.on_connect(namespace=rooms, connect_order=7, advisory=True)(lambda socket: None)
    s.on_disconnect(namespace=rooms)(lambda socket: None)
    s.start()
    stream = broker.attached()
    one, pattern = stream.register.registrations
    assert (one.namespace, one.pattern, one.connect, list(one.events)) == ("/room-1", False, False, ["x", "y"])
    assert (pattern.namespace, pattern.pattern, list(pattern.events)) == (r"/room-\d+", True, ["x", "y"])
    assert (pattern.connect, pattern.connect_order, pattern.connect_advisory) == (True, 7, True)
    assert not one.connect_advisory
    assert (list(one.concurrent_events), list(pattern.concurrent_events)) == (["y"], ["y"])
    assert stream.ack(stream.dispatch("x", sid="a", namespace="/room-1")) == ["exact"]
    assert stream.ack(stream.dispatch("x", sid="b", namespace="/room-22")) == ["pattern /room-22"]
    assert stream.ack(stream.dispatch("y", sid="b", namespace="/room-22")) == ["any /room-22"]
    assert stream.result(stream.dispatch("x", sid="c", namespace="/room-22x")).WhichOneof("outcome") is None
    for order in (-1, 1 << 32):
        with pytest.raises(ValueError, match="order"):
            s.on_connect(connect_order=order)(print)


# Listeners observe the events that arrive and the emits of this process, and change nothing.
def test_listeners(broker: FakeBroker, service: Make, caplog: pytest.LogCaptureFixture) -> None:
    s = service()
    seen: list[Any] = []
    s.on("x")(lambda socket, n: socket.to("r").emit("y", n) or n)
    s.on_any(lambda socket, event, *args: seen.append((socket.id, event, *args)))
    s.on_any(lambda *args: 1 / 0)
    s.on_any_outgoing(lambda target, event, *args: seen.append((target.rooms, target.excepted, target.namespace, event, *args)))
    s.on_any_outgoing(lambda *args: 1 / 0)
    s.start()
    stream = broker.attached()
    assert not stream.register.registrations[0].catch_all
    stream.result(stream.connect())
    assert stream.ack(stream.dispatch("x", 1)) == [1]
    stream.result(stream.dispatch("unknown", 2))
    s.emit("z", 3, to="q", except_="p", namespace="/n")
    s.emit("nobody", to=[])
    assert seen == [
        ("s1", "x", 1),
        (("r",), ("s1",), "/", "y", 1),
        ("s1", "unknown", 2),
        (("q",), ("p",), "/n", "z", 3),
    ]
    assert "listener to events failed" in caplog.text
    assert "listener to outgoing events failed" in caplog.text


# Methods that wait refuse to run on an event loop.
def test_on_loop(attached: tuple[Service, Attachment]) -> None:
    s, _ = attached

    async def main() -> None:
        for ask in (s.fetch_sockets, s.rooms, lambda: s.server_side_emit_with_ack("m")):
            with pytest.raises(RuntimeError, match="to_thread"):
                ask()

    asyncio.run(main())


# An emitter has targets, too.
def test_emitter_targets(broker: FakeBroker) -> None:
    with Emitter(broker.address, namespace="/n") as emitter:
        emitter.to("a").except_("b").volatile().compress(False).emit("x", 1)
        sent = broker.emitted[-1]
        assert (sent.target.namespace, list(sent.target.rooms), getattr(sent.target, "except")) == ("/n", ["a"], ["b"])
        assert (sent.volatile, sent.no_compress) == (True, True)
        assert emitter.emit("x", to=emitter.of("/o").to("q")) == 3
        assert broker.emitted[-1].target.namespace == "/o"
        assert emitter.send("m") == 3
        assert emitter.to("a").timeout(2).emit_with_ack("q").sockets == 3
        assert broker.emitted[-1].ack_timeout_ms == 2000
        assert emitter.emit_with_ack("q").sockets == 3
        assert broker.emitted[-1].ack_timeout_ms == 10_000
        with pytest.raises(RuntimeError, match="no thread to run a callback"):
            emitter.emit("x", callback=print)


# A program without handlers has the commands of handlers.
def test_emitter_executes(broker: FakeBroker) -> None:
    broker.execute_answer.found.add(socket_id="s1", rooms=["s1", "a"], data=b"7")
    with spanwire.Emitter(broker.address) as emitter:
        found = emitter.to("a").timeout(2).fetch_sockets()
        assert [(s.id, s.rooms, s.data) for s in found] == [("s1", ("s1", "a"), 7)]
        assert broker.executed[-1].fetch_sockets.timeout_ms == 2000
        found[0].join("r")
        assert list(broker.executed[-1].join.target.rooms) == ["s1"]
        emitter.to("a").sockets_leave("r")
        assert list(broker.executed[-1].leave.rooms) == ["r"]
        emitter.to("a").disconnect_sockets(close=True)
        assert broker.executed[-1].disconnect.close_session
        asked = len(broker.executed)
        emitter.to([]).disconnect_sockets()
        emitter.to([]).sockets_join("r")
        assert emitter.to([]).fetch_sockets() == []
        assert len(broker.executed) == asked
        broker.execute_answer.fault.message = "no"
        broker.execute_answer.fault.code = 1
        with pytest.raises(spanwire.CommandError, match="no"):
            emitter.to("a").disconnect_sockets()


# The result of an advisory connect handler has no effect, and its socket stays.
@pytest.mark.parametrize("answer", ["refuse", "false", "fail", "accept"])
def test_advisory_connects(broker: FakeBroker, service: Make, answer: str) -> None:
    s = service()

    @s.on_connect(advisory=True)
    def connect(_socket: Any) -> bool | None:
        if answer == "refuse":
            raise spanwire.ConnectionRefusedError("no")
        if answer == "fail":
            raise RuntimeError("no")
        return False if answer == "false" else None

    s.on("where")(lambda socket: socket.handshake.address)
    s.start()
    stream = broker.attached()
    result = stream.result(stream.connect("a"))
    assert result.WhichOneof("outcome") == ("ack" if answer == "accept" else "failure")
    assert stream.ack(stream.dispatch("where", sid="a")) == ["192.0.2.7"]


def test_advisory_is_for_connects(service: Make) -> None:
    with pytest.raises(ValueError, match="advisory"):
        service().add("x", print, advisory=True)


# The drain retires the service if its constructor, stop() or the environment says so.
@pytest.mark.parametrize(
    ("made", "stopped", "environment", "retires"),
    [
        (None, None, "", False),
        (True, None, "", True),
        (None, True, "", True),
        (True, False, "", False),
        (None, None, "true", True),
        (False, None, "true", False),
    ],
)
def test_retire(
    broker: FakeBroker,
    service: Make,
    monkeypatch: pytest.MonkeyPatch,
    made: bool | None,
    stopped: bool | None,
    environment: str,
    retires: bool,
) -> None:
    monkeypatch.setenv("SPANWIRE_RETIRE", environment)
    s = service(retire=made)
    s.on("x")(print)
    s.start()
    stream = broker.attached()
    s.wait_attached(10)
    s.stop(retire=stopped)
    assert stream.draining
    assert stream.retires is retires


# retire_service() returns the replicas that did not answer.
def test_retire_service(broker: FakeBroker) -> None:
    with spanwire.Emitter(broker.address) as emitter:
        assert emitter.retire_service("gone") == ["r"]
        assert broker.retired == ["gone"]
        for status, code in ((grpc.StatusCode.FAILED_PRECONDITION, "CONFLICT"), (grpc.StatusCode.NOT_FOUND, "NOT_FOUND")):
            broker.emit_error = (status, "no")
            with pytest.raises(spanwire.CommandError) as caught:
                emitter.retire_service("here")
            assert caught.value.code == code
