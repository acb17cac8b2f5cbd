# SPDX-License-Identifier: Apache-2.0
"""The service against a broker in this process."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import threading
import time
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from fakebroker import WAIT, FakeBroker, acks

import spanwire
from spanwire import Service, Target
from spanwire._proto import command_pb2, handler_pb2

Make = Callable[..., Service]


# The registrations reach the broker as they were made.
def test_register(broker: FakeBroker, service: Make) -> None:
    s = service("chat", window=7, credentials=True)
    s.on("b")(lambda socket: None)
    s.on("a")(lambda socket: None)
    s.on("*", namespace="/x")(lambda socket, event: None)
    s.on_connect(namespace="/x")(lambda socket: None)
    s.start()
    register = broker.attached().register
    assert (register.protocol_version, register.service, register.window) == (1, "chat", 7)
    assert (register.sdk_name, register.sdk_version) == ("spanwire-python", spanwire.__version__)
    assert register.credentials
    assert register.delivery_mode == handler_pb2.DELIVERY_MODE_AT_LEAST_ONCE
    main, x = register.registrations
    assert (main.namespace, list(main.events), main.catch_all, main.connect, main.disconnect) == (
        "/",
        ["a", "b"],
        False,
        False,
        True,
    )
    assert (x.namespace, list(x.events), x.catch_all, x.connect) == ("/x", [], True, True)


# An event reaches its handler, whose return value is the ack; a browser that wants no ack gets
# none.
def test_event_and_ack(broker: FakeBroker, service: Make) -> None:
    s = service()
    seen: list[Any] = []

    @s.on("add")
    def add(socket: Any, a: int, b: int) -> int:
        seen.append((socket.id, socket.namespace, socket.handshake.address))
        return a + b

    s.start()
    stream = broker.attached()
    assert stream.ack(stream.dispatch("add", 1, 2)) == [3]
    assert stream.ack(stream.dispatch("add", 3, 4, wants_ack=False)) is None
    assert seen == [("s1", "/", "192.0.2.7")] * 2


# The emits of a handler precede its result, in their order.
def test_emits_before_result(broker: FakeBroker, service: Make) -> None:
    s = service()

    @s.on("go")
    def go(socket: Any) -> None:
        socket.join(["r1", "r2"])
        socket.emit("one", {"n": 1})
        s.emit("two", to="room", except_=["x"], namespace="/n")
        socket.broadcast("three", (1, 2))
        socket.leave("r1")
        socket.disconnect(close_session=True)

    s.start()
    stream = broker.attached()
    number = stream.dispatch("go")
    stream.result(number)
    kinds = [a.command.WhichOneof("command") or "result" for a in stream.actions]
    assert kinds == ["join", "emit", "emit", "emit", "leave", "disconnect", "result"]
    assert stream.emits(3) == [
        ("one", [{"n": 1}], ["s1"], [], "/"),
        ("two", [], ["room"], ["x"], "/n"),
        ("three", [1, 2], [], ["s1"], "/"),
    ]
    assert stream.command("disconnect").disconnect.close_session


# A connect handler accepts a socket, or refuses it in each possible way.
@pytest.mark.parametrize(
    ("behaviour", "refused", "message", "data"),
    [
        (lambda: None, False, "", b""),
        (lambda: True, False, "", b""),
        (lambda: False, True, "", b""),
        (lambda: _raise(spanwire.ConnectionRefusedError()), True, "", b""),
        (lambda: _raise(spanwire.ConnectionRefusedError("no")), True, "no", b""),
        (lambda: _raise(spanwire.ConnectionRefusedError("no", {"a": 1})), True, "no", b'{"a":1}'),
        (lambda: _raise(spanwire.ConnectionRefusedError("no", 1, 2)), True, "no", b"[1,2]"),
        (lambda: _raise(ConnectionRefusedError("secret")), True, "", b""),
    ],
)
def test_connect(broker: FakeBroker, service: Make, behaviour: Any, refused: bool, message: str, data: bytes) -> None:
    s = service()
    auths: list[Any] = []

    @s.on_connect
    def connect(socket: Any, auth: Any) -> Any:
        auths.append(auth)
        return behaviour()

    s.start()
    stream = broker.attached()
    result = stream.result(stream.connect(auth={"token": 1}))
    assert auths == [{"token": 1}]
    assert result.WhichOneof("outcome") == ("refusal" if refused else "ack")
    assert (result.refusal.message, result.refusal.data) == (message, data)


def _raise(error: Exception) -> None:
    raise error


# Lifecycle handlers receive no more arguments than they take, and a TypeError inside them does not
# call them twice.
def test_lifecycle_arguments(broker: FakeBroker, service: Make, caplog: pytest.LogCaptureFixture) -> None:
    s = service()
    calls: list[Any] = []

    @s.on_connect
    def connect(socket: Any) -> None:
        calls.append("connect")
        raise TypeError("inside")

    @s.on_disconnect
    def disconnect(socket: Any, reason: str) -> None:
        calls.append(reason)

    s.start()
    stream = broker.attached()
    with caplog.at_level(logging.CRITICAL, "spanwire"):
        assert stream.result(stream.connect()).failure.message == "TypeError: inside"
    stream.dispatch("x", sid="s2")
    stream.result(stream.disconnected("s2", reason="ping timeout"))
    assert calls == ["connect", "ping timeout"]


# A failure is logged and reported, and does not affect other handlers.
def test_failure(broker: FakeBroker, service: Make, caplog: pytest.LogCaptureFixture) -> None:
    s = service()
    s.on("bad")(lambda socket: 1 / 0)
    s.on("unsendable")(lambda socket: object())
    s.on("good")(lambda socket: "ok")
    s.start()
    stream = broker.attached()
    with caplog.at_level(logging.CRITICAL, "spanwire"):
        assert "ZeroDivisionError" in stream.result(stream.dispatch("bad")).failure.message
        assert "TypeError" in stream.result(stream.dispatch("unsendable")).failure.message
        assert "JSON" in stream.result(stream.dispatch("good", payload=b'{"no":"array"}')).failure.message
    assert stream.ack(stream.dispatch("good")) == ["ok"]


# An event without a handler is resolved without an ack, counted and logged.
def test_unhandled(broker: FakeBroker, service: Make, caplog: pytest.LogCaptureFixture) -> None:
    s = service()
    s.on("x")(lambda socket: None)
    s.start()
    stream = broker.attached()
    result = stream.result(stream.dispatch("__class__"))
    assert result.WhichOneof("outcome") is None
    assert s.unhandled == 1
    assert "__class__" in caplog.text
    assert stream.result(stream.connect()).HasField("ack")


# Attachments are bytes in both directions.
def test_attachments(broker: FakeBroker, service: Make) -> None:
    s = service()
    s.on("double")(lambda socket, data: {"twice": [data * 2, bytearray(b"x")]})
    s.start()
    stream = broker.attached()
    number = stream.dispatch("double", payload=b'[{"_placeholder":true,"num":0}]', attachments=(b"ab",))
    ack = stream.result(number).ack
    assert ack.args == b'[{"twice":[{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]}]'
    assert list(ack.attachments) == [b"abab", b"x"]


# The handlers of one socket run one after another, in order, blocking or not.
def test_order_per_socket(broker: FakeBroker, service: Make) -> None:
    s = service(workers=4)
    seen: dict[str, list[int]] = {}
    running: dict[str, int] = {}

    @s.on("n")
    def n(socket: Any, number: int) -> None:
        running[socket.id] = running.get(socket.id, 0) + 1
        assert running[socket.id] == 1
        if number % 40 == 0:
            time.sleep(0.005)
        seen.setdefault(socket.id, []).append(number)
        running[socket.id] -= 1

    s.start()
    stream = broker.attached()
    numbers = [stream.dispatch("n", i, sid=f"s{j}") for i in range(100) for j in range(4)]
    for number in numbers:
        assert not stream.result(number).HasField("failure")
    assert seen == {f"s{j}": list(range(100)) for j in range(4)}


# Frames without items are answered too, also long after the last event: the broker waits for it.
def test_frames_without_work(broker: FakeBroker, service: Make) -> None:
    s = service()
    s.on("add")(lambda socket, a, b: a + b)
    s.start()
    instance = broker.attached()
    assert instance.ack(instance.dispatch("add", 1, 2)) == [3]
    watchdog = s._links.scheduler._watchdog
    deadline = time.monotonic() + WAIT
    while watchdog.armed:
        assert time.monotonic() < deadline
        time.sleep(0.001)
    for _ in range(5):
        with instance.changed:
            instance.sequence += 2
            for sequence in (instance.sequence - 1, instance.sequence):
                instance.send(batch=handler_pb2.DispatchBatch(sequence=sequence, answered=instance.received, released=["s9"]))
        instance.wait(lambda: instance.answered == instance.sequence, "the frames were not answered")


# A handler that blocks delays its own socket only, and its frame is answered meanwhile.
def test_blocked_handler(broker: FakeBroker, service: Make) -> None:
    s = service(workers=3)
    gate = threading.Event()

    for name in "abc":

        @s.on(name)
        def block(socket: Any) -> str:
            socket.emit("begun")
            assert gate.wait(WAIT)
            return "free"

    s.on("quick")(lambda socket: "quick")
    s.start()
    stream = broker.attached()
    blocked = [stream.dispatch(name, sid=f"b{i}") for i, name in enumerate("abc")]
    stream.emits(3)
    behind = stream.dispatch("quick", sid="b0")
    # As many are blocked as may be: the leader goes on reading, and what comes waits for a thread.
    waiting = stream.dispatch("quick", sid="other")
    stream.wait(lambda: stream.answered >= stream.sequence - 1)
    assert waiting not in stream.results
    gate.set()
    assert [stream.ack(n) for n in blocked] == [["free"]] * 3
    assert stream.ack(behind) == ["quick"]
    assert stream.ack(waiting) == ["quick"]


# While a thread is free, other sockets are served although handlers block.
def test_blocked_handler_others_served(broker: FakeBroker, service: Make) -> None:
    s = service(workers=3)
    gate = threading.Event()
    s.on("block")(lambda socket: gate.wait(WAIT) and "free")
    s.on("quick")(lambda socket: "quick")
    s.start()
    stream = broker.attached()
    blocked = [stream.dispatch("block", sid=f"b{i}") for i in range(2)]
    for i in range(20):
        assert stream.ack(stream.dispatch("quick", sid=f"o{i}")) == ["quick"]
    assert not any(n in stream.results for n in blocked)
    gate.set()
    assert [stream.ack(n) for n in blocked] == [["free"]] * 2


# Sockets that always have a next event do not keep the threads from other sockets.
def test_blocked_handler_fair(broker: FakeBroker, service: Make) -> None:
    s = service(workers=2)
    done: list[str] = []

    @s.on("slow")
    def slow(socket: Any) -> None:
        time.sleep(0.005)
        done.append(socket.id)

    s.start()
    stream = broker.attached()
    busy = [stream.dispatch("slow", sid=sid) for sid in ("busy1", "busy2", "busy3") for _ in range(100)]
    late = [stream.dispatch("slow", sid=f"late{i}") for i in range(3)]
    for number in (*busy, *late):
        stream.result(number)
    order = list(done)
    assert max(order.index(f"late{i}") for i in range(3)) < 150, "the threads served the busy sockets first"
    assert [sid for sid in order if sid.startswith("busy1")] == ["busy1"] * 100


# Handlers that wait for acks, even on every thread, do not delay the answers.
def test_emit_with_ack(broker: FakeBroker, service: Make) -> None:
    s = service(workers=2)
    broker.answer = acks(("s1", ["yes", 2]))

    @s.on("ask")
    def ask(socket: Any) -> Any:
        return socket.emit_with_ack("question", timeout=5)

    s.start()
    stream = broker.attached()
    numbers = [stream.dispatch("ask", sid=f"s{i}") for i in range(6)]
    for number in numbers:
        assert stream.ack(number) == [["yes", 2]]
    emit = stream.command("emit").emit
    assert emit.want_acks
    assert emit.ack_timeout_ms == 5000

    broker.answer = acks(missing=1)
    with pytest.raises(spanwire.AckTimeoutError) as caught:
        s._call("question", (), spanwire.Target("s1").timeout(1))
    assert caught.value.event == "question"
    assert isinstance(caught.value, TimeoutError)

    broker.answer = acks(("a", [1]), ("b", []), missing=3)
    gathered = s.emit_with_ack("q", to=["a", "b"], timeout=1)
    assert (gathered.sockets, gathered.missing) == (2, 3)
    assert {a.socket_id: a.args for a in gathered.acks} == {"a": [1], "b": []}

    broker.answer = lambda c: command_pb2.Answer(
        id=c.id, fault=command_pb2.Fault(code=command_pb2.FAULT_CODE_INVALID, message="bad")
    )
    with pytest.raises(spanwire.CommandError, match="bad") as refused:
        s.emit_with_ack("q")
    assert refused.value.code == "INVALID"
    assert s.emit_with_ack("q", to=[]).sockets == 0


# Coroutine handlers run on a loop, in order for one socket, beside other sockets.
def test_async_handlers(broker: FakeBroker, service: Make) -> None:
    s = service()
    seen: list[int] = []
    gates: dict[str, asyncio.Event] = {}

    @s.on("slow")
    async def slow(socket: Any, n: int) -> int:
        seen.append(n)
        if n == 0:
            gates["gate"] = asyncio.Event()
            await gates["gate"].wait()
        return n

    @s.on("open")
    async def open_gate(socket: Any) -> None:
        while "gate" not in gates:
            await asyncio.sleep(0)
        gates["gate"].set()

    @s.on("boom")
    async def boom(socket: Any) -> None:
        raise spanwire.ConnectionRefusedError("not here")

    s.on("plain")(lambda socket: "plain")
    s.start()
    stream = broker.attached()
    first, second = stream.dispatch("slow", 0), stream.dispatch("slow", 1)
    plain = stream.dispatch("plain")
    stream.result(stream.dispatch("open", sid="s2"))
    assert (stream.ack(first), stream.ack(second), stream.ack(plain)) == ([0], [1], ["plain"])
    assert seen == [0, 1]
    logging.getLogger("spanwire").disabled = True
    try:
        assert "not here" in stream.result(stream.dispatch("boom")).failure.message
    finally:
        logging.getLogger("spanwire").disabled = False


# An asyncio program's own loop runs the coroutine handlers.
def test_async_with(broker: FakeBroker) -> None:
    async def main() -> None:
        s = Service("aio", address=broker.address)
        loops: list[Any] = []

        @s.on("x")
        async def x(socket: Any) -> None:
            loops.append(asyncio.get_running_loop())
            with pytest.raises(RuntimeError, match="event loop"):
                socket.emit_with_ack("q")
            socket.emit("from the loop")

        async with s:
            stream = await asyncio.to_thread(broker.attached)
            number = stream.dispatch("x")
            await asyncio.to_thread(stream.result, number)
            assert loops == [asyncio.get_running_loop()]

    asyncio.run(main())


# After a lost stream another one opens, with the same instance id; dispatches that had not started
# are redelivered.
def test_reconnect(broker: FakeBroker, service: Make, caplog: pytest.LogCaptureFixture) -> None:
    s = service()
    s.on("x")(lambda socket: socket.data.setdefault("count", 0))
    s.start()
    first = broker.attached()
    assert first.ack(first.dispatch("x")) == [0]
    first.break_off()
    second = broker.attached()
    assert second.register.instance_id == first.register.instance_id
    assert second.ack(second.dispatch("x")) == [0]
    assert "stream ended; attaching again" in caplog.text


# A handler that ran on the lost stream does not run again for the redelivery, which gets its
# result.
def test_redelivery(broker: FakeBroker, service: Make) -> None:
    s = service()
    calls: list[str] = []
    gate = threading.Event()

    @s.on("once")
    def once(socket: Any, what: str) -> str:
        calls.append(what)
        if what == "running":
            socket.emit("begun")
            gate.wait(WAIT)
        return what

    s.start()
    first = broker.attached()
    broker.answering = False
    done = first.dispatch("once", "done", sid="a")
    first.result(done)
    running = first.dispatch("once", "running", sid="b")
    first.emits(1)
    first.break_off()
    second = broker.attached()
    broker.answering = True
    assert second.ack(second.dispatch("once", "done", sid="a", number=done, redeliveries=1)) == ["done"]
    again = second.dispatch("once", "running", sid="b", number=running, redeliveries=1)
    new = second.dispatch("once", "new", sid="a")
    assert second.ack(new) == ["new"]
    gate.set()
    assert second.ack(again) == ["running"]
    assert calls == ["done", "running", "new"]


# Emits without a stream are sent on the next one.
def test_emits_survive(broker: FakeBroker, service: Make) -> None:
    s = service()
    s.on("x")(lambda socket: None)
    s.start()
    first = broker.attached()
    broker.answering = False
    s.emit("one")
    s.emit("two")
    first.emits(2)
    s.emit("three")
    s.emit("four")
    first.break_off()
    broker.answering = True
    second = broker.attached()
    assert [e[0] for e in second.emits(2)] == ["three", "four"]


# stop() takes no new dispatches, finishes running handlers, and detaches when the broker ends the
# stream.
def test_drain(broker: FakeBroker, service: Make) -> None:
    s = service()
    gate = threading.Event()
    s.on("x")(lambda socket: gate.wait(WAIT) and "done")
    s.start()
    stream = broker.attached()
    s.wait_attached(WAIT)
    number = stream.dispatch("x")
    stopper = threading.Thread(target=s.stop)
    stopper.start()
    stream.wait(lambda: stream.draining)
    assert number not in stream.results
    gate.set()
    assert stream.ack(number) == ["done"]
    stopper.join(WAIT)
    assert not stopper.is_alive()
    assert not [t for t in threading.enumerate() if t.name.startswith("spanwire")]


# The drain is bounded: it does not wait for a handler that never ends.
def test_drain_bounded(broker: FakeBroker, service: Make, caplog: pytest.LogCaptureFixture) -> None:
    s = service(drain_timeout=0.2)
    gate = threading.Event()
    s.on("x")(lambda socket: gate.wait(WAIT))
    s.start()
    stream = broker.attached()
    s.wait_attached(WAIT)
    stream.dispatch("x")
    stream.dispatch("x", sid="s2")
    stream.wait(lambda: stream.answered >= 1)
    s.stop()
    gate.set()
    assert "handlers still running" in caplog.text


# run() works until it is stopped, and raises the rejection of the registrations.
def test_run(broker: FakeBroker, service: Make) -> None:
    s = service()
    s.on("x")(lambda socket: None)
    runner = threading.Thread(target=s.run)
    runner.start()
    broker.attached()
    s._stop.set()
    runner.join(WAIT)
    assert not runner.is_alive()

    broker.refusal = (grpc.StatusCode.INVALID_ARGUMENT, "no such namespace")
    logging.getLogger("spanwire").disabled = True
    try:
        with pytest.raises(spanwire.RegistrationError, match="no such namespace"):
            s.run()
    finally:
        logging.getLogger("spanwire").disabled = False


# An address without a listener is logged in one line that names the setting; dialling goes on.
def test_unreachable(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spanwire._dial._CONNECT_TIMEOUT", 0.2)
    probe = FakeBroker()
    probe.stop()
    s = Service("x", address=probe.address, emit_timeout=0.5)
    s.on("x")(lambda socket: None)
    s.start()
    with pytest.raises(spanwire.BrokerUnavailableError, match="SPANWIRE_ADDRESS") as caught:
        s.emit("x")
    assert caught.value.address == probe.address
    assert "SPANWIRE_ADDRESS" in caplog.text
    late = FakeBroker(port=probe.port)
    try:
        late.attached()
        s.emit("x")
    finally:
        s.stop()
        late.stop()


# Each call carries the token; a rejected token is reported.
def test_token(broker: FakeBroker, service: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setenv("SPANWIRE_TOKEN", "secret")
    broker.refusal = (grpc.StatusCode.UNAUTHENTICATED, "no token")
    s = service()
    s.on("x")(lambda socket: None)
    s.start()
    with pytest.raises(spanwire.BrokerUnavailableError, match="SPANWIRE_TOKEN"):
        s.wait_attached(1)
    broker.refusal = None
    broker.attached()
    assert broker.metadata["authorization"] == "Bearer secret"


# Handlers that are added later are registered with the broker too.
def test_register_later(broker: FakeBroker, service: Make) -> None:
    s = service()
    s.on("a")(lambda socket: None)
    s.start()
    stream = broker.attached()
    s.on("b")(lambda socket: "b")
    stream.wait(lambda: stream.changes)
    assert list(stream.changes[0][0].events) == ["a", "b"]
    assert stream.ack(stream.dispatch("b")) == ["b"]


# A full queue is an error of the caller, after a while.
def test_queue_full(broker: FakeBroker, service: Make) -> None:
    s = service(max_queue_bytes=1000, emit_timeout=0.05, drain_timeout=0.1)
    s.on("x")(lambda socket: None)
    s.start()
    stream = broker.attached()
    broker.answering = False
    s.emit("a")
    s.emit("b")
    stream.emits(2)
    for _ in range(3):
        s.emit("filling", "x" * 400)
    with pytest.raises(spanwire.QueueFullError) as caught:
        s.emit("one too many")
    assert caught.value.queued_bytes > 1000


# An emit larger than a frame is an error of its caller; an ack larger than a frame is a failure of
# the handler.
def test_too_large(broker: FakeBroker, service: Make) -> None:
    broker.max_frame_bytes = 1000
    s = service()
    s.on("x")(lambda socket: "x" * 2000)
    s.start()
    stream = broker.attached()
    s.wait_attached(WAIT)
    with pytest.raises(ValueError, match="max-frame, now 1000"):
        s.emit("x", "x" * 2000)
    assert "more than a frame may have" in stream.result(stream.dispatch("x")).failure.message
    for _ in range(5):
        s.emit("x", "y" * 300)
    stream.emits(5)
    assert max(b.ByteSize() for b in stream.batches) <= 1000


class Circle(dict[str, Any]):
    """Holds itself."""

    def __init__(self) -> None:
        self["self"] = self


# A value that cannot be sent is an error of the caller of each method, and a failure of the handler
# that returns it.
@pytest.mark.parametrize(
    "value",
    [float("nan"), float("inf"), object(), {1, 2}, Circle(), [b"x", float("nan")], {(1, 2): 3}, "x" * 2000],
    ids=lambda value: type(value).__name__,
)
def test_unsendable(broker: FakeBroker, service: Make, caplog: pytest.LogCaptureFixture, value: Any) -> None:
    broker.max_frame_bytes = 1000
    s = service()

    @s.on("answer")
    def answer(socket: Any) -> Any:
        return value

    @s.on("coroutine")
    async def coroutine(socket: Any) -> Any:
        return value

    @s.on_connect
    def connect(socket: Any) -> None:
        raise spanwire.ConnectionRefusedError("no", value)

    calls: list[Callable[[Any], Any]] = [
        lambda socket: s.emit("e", value),
        lambda socket: s.send(value),
        lambda socket: s.emit("e", value, callback=lambda acks: None),
        lambda socket: s.emit_with_ack("e", value, timeout=1),
        lambda socket: s.to("r").emit("e", value),
        lambda socket: s.server_side_emit("m", value),
        lambda socket: socket.emit("e", value),
        lambda socket: socket.send(value),
        lambda socket: socket.emit_with_ack("e", value, timeout=1),
        lambda socket: socket.broadcast("e", value),
        lambda socket: socket.set_data(value),
    ]

    @s.on("calls")
    def tried(socket: Any) -> list[int]:
        silent = []
        for number, call in enumerate(calls):
            try:
                call(socket)
                silent.append(number)
            except (TypeError, ValueError):
                pass
        return silent

    s.start()
    stream = broker.attached()
    s.wait_attached(WAIT)
    assert stream.ack(stream.dispatch("calls")) == [[]]
    for name in ("answer", "coroutine"):
        assert stream.result(stream.dispatch(name)).failure.message
        assert f"handler failed handler={name} namespace=/ socket=s1 err=" in caplog.text
    assert stream.result(stream.connect("s2")).failure.message
    assert "handler failed handler=connect namespace=/ socket=s2 err=" in caplog.text
    s.emit("last")
    assert [e[0] for e in stream.emits()] == ["last"]


# Namespaces that no broker accepts are an error of the caller, too.
@pytest.mark.parametrize("namespace", ["chat", "/a,b", "/" + "x" * 255])
def test_no_namespace(service: Make, broker: FakeBroker, namespace: str) -> None:
    s = service()
    s.on("x")(lambda socket: None)
    s.start()
    broker.attached()
    for call in (
        lambda: s.emit("e", namespace=namespace),
        lambda: s.of(namespace).emit("e"),
        lambda: s.join("r", to="s1", namespace=namespace),
        lambda: s.server_side_emit("m", namespace=namespace),
    ):
        with pytest.raises(ValueError, match="namespace"):
            call()


# A fault that only the broker finds is logged as an error, with the facts that locate it in the
# program.
def test_refused_by_broker(broker: FakeBroker, service: Make, caplog: pytest.LogCaptureFixture) -> None:
    s = service()
    s.on("x")(lambda socket: None)
    s.start()
    stream = broker.attached()
    stream.send(fault=command_pb2.Fault(message="too deep", event="e", namespace="/n", bytes=77))
    stream.send(fault=command_pb2.Fault(message="event e came late"))
    for _ in range(500):
        if "came late" in caplog.text:
            break
        threading.Event().wait(0.01)
    assert 'err="too deep" event=e namespace=/n bytes=77' in caplog.text
    assert 'err="event e came late" event' not in caplog.text


# Each kind of target reaches the broker.
def test_targets(broker: FakeBroker, service: Make) -> None:
    s = service()
    s.on("x")(lambda socket: None)
    s.start()
    stream = broker.attached()
    s.emit("e", to=Target(rooms=["a", "b"], except_="c", namespace="/t", local=True), except_="d")
    s.emit("e", to=[])  # nobody, not everybody
    s.send("hello", to="r")
    s.join("r", to="s1")
    s.leave(["r", "q"], to="s1", namespace="/n")
    s.disconnect(to="s1")
    s.emit("e", 1, 2, volatile=True, compress=False)
    assert stream.emits(3) == [
        ("e", [], ["a", "b"], ["c", "d"], "/t"),
        ("message", ["hello"], ["r"], [], "/"),
        ("e", [1, 2], [], [], "/"),
    ]
    assert stream.command("emit").emit.target.local
    flags = stream.command("emit", 2).emit
    assert flags.volatile
    assert flags.no_compress
    assert list(stream.command("leave").leave.rooms) == ["r", "q"]
    for name in ("connect", "disconnecting"):
        with pytest.raises(ValueError, match="reserved"):
            s.emit(name)


# A forked child is another instance, and attaches only on request.
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_fork(broker: FakeBroker, service: Make) -> None:
    s = service()
    s.on("x")(lambda socket: None)
    before = s.instance_id
    s._forked()
    assert s.instance_id != before
    assert not s.started


# Faults, drains, topologies and unknown frames do not disturb the service.
def test_other_frames(broker: FakeBroker, service: Make, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "spanwire")
    s = service()
    s.on("x")(lambda socket: "still here")
    s.start()
    stream = broker.attached()
    stream.send(fault=command_pb2.Fault(message="what was that"))
    stream.send(drain=handler_pb2.Drain())
    stream.send(topology=handler_pb2.Topology())
    stream.send()
    assert stream.ack(stream.dispatch("x")) == ["still here"]
    assert "what was that" in caplog.text
    assert "replica drains" in caplog.text
    assert s.public_url == "http://localhost:5000"
    stream.out.put(None)
    broker.attached()


# With quick, blocking and coroutine handlers mixed, each event is handled once, in its socket's
# order.
@pytest.mark.parametrize("workers", [1, 3, 16])
def test_mixture(broker: FakeBroker, service: Make, workers: int) -> None:
    s = service(workers=workers)
    chance = random.Random(workers)
    seen: dict[str, list[int]] = {}

    @s.on("quick")
    def quick(socket: Any, n: int) -> int:
        seen.setdefault(socket.id, []).append(n)
        return n

    @s.on("blocking")
    def blocking(socket: Any, n: int) -> int:
        time.sleep(0.006)
        return quick(socket, n)

    @s.on("coroutine")
    async def coroutine(socket: Any, n: int) -> int:
        await asyncio.sleep(0.001)
        return quick(socket, n)

    s.start()
    stream = broker.attached()
    numbers = {}
    for n in range(25):
        for sid in ("a", "b", "c", "d", "e", "f"):
            name = chance.choice(["quick"] * 6 + ["blocking", "coroutine"])
            numbers[stream.dispatch(name, n, sid=sid)] = n
    for number, n in numbers.items():
        assert stream.ack(number) == [n]
    assert seen == {sid: list(range(25)) for sid in "abcdef"}
    stream.wait(lambda: not s.start().scheduler.running())
