# SPDX-License-Identifier: Apache-2.0
"""Emitters with several addresses, keys and tokens; repeated events; signals."""

from __future__ import annotations

import pathlib
import signal
import subprocess
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from fakebroker import WAIT, FakeBroker
from test_serving import App

import spanwire
from spanwire import Deduplicator, Emitter, Target, _commands
from spanwire._proto import command_pb2, emitter_pb2
from spanwire._settings import Settings

Make = Callable[..., spanwire.Service]


# The call carries the key and the request for a count.
def test_emitter_keys(broker: FakeBroker) -> None:
    with Emitter(broker.address, namespace="/n") as emitter:
        assert emitter.emit("x", 1, count=True, idempotency_key="k") == 3
        assert (broker.emitted[-1].want_count, broker.keys[-1]) == (True, "k")
        emitter.emit_with_ack("x", idempotency_key="l")
        assert broker.keys[-1] == "l"
        emitter.join("r", to="s1", idempotency_key="m")
        emitter.leave(["r", "q"], to="s1")
        emitter.disconnect(to="s1", idempotency_key="o")
        assert broker.keys[-3:] == ["m", "", "o"]
        assert [c.WhichOneof("command") for c in broker.executed] == ["join", "leave", "disconnect"]
        assert broker.executed[0].join.target.namespace == "/n"
        broker.execute_answer = command_pb2.Answer(sockets=7)
        moves = [emitter.join("r", to="s1", count=True), emitter.leave("r", to="s1", count=True)]
        assert [*moves, emitter.disconnect(to="s1", count=True), emitter.join("r", to=[], count=True)] == [7, 7, 7, 0]
        made = broker.executed[-3:]
        assert all([made[0].join.want_count, made[1].leave.want_count, made[2].disconnect.want_count])
        assert not broker.executed[0].join.want_count
        emitter.server_side_emit("m", 1, services="a", idempotency_key="p")
        assert broker.executed[-1].server_side_emit.services == ["a"]
        broker.execute_answer = command_pb2.Answer(missing=2, rooms=[command_pb2.RoomInfo(name="r", sockets=2)])
        assert emitter.server_side_emit_with_ack("m").missing == 2
        assert broker.executed[-1].server_side_emit.ack_timeout_ms == 10_000
        assert dict(emitter.rooms()) == {"r": 2}
        with pytest.raises(RuntimeError, match="callback"):
            emitter.emit("x", callback=print)


# An emit that may not have reached every replica raises an error with the known facts.
def test_emitter_partial(broker: FakeBroker) -> None:
    fault = command_pb2.Fault(code=command_pb2.FAULT_CODE_BACKPLANE_UNAVAILABLE, message="the backplane is down")
    with Emitter(broker.address) as emitter:
        broker.emit_response = emitter_pb2.EmitResponse(sockets=3, silent_replicas=["b2"], fault=fault)
        with pytest.raises(spanwire.PartialDeliveryError, match=r"3 sockets.*the backplane is down") as caught:
            emitter.emit("x")
        assert (caught.value.sockets, caught.value.silent_replicas, caught.value.code) == (3, ("b2",), "BACKPLANE_UNAVAILABLE")
        assert emitter.emit_with_ack("x").silent_replicas == ("b2",)
        broker.execute_answer = command_pb2.Answer(sockets=1, fault=fault)
        with pytest.raises(spanwire.CommandError, match="down"):
            emitter.join("r", to="s1")
        # A replica that hangs is none that cannot be reached: only who asked for the count misses
        # something.
        broker.emit_response = emitter_pb2.EmitResponse(sockets=2, silent_replicas=["b2"])
        assert emitter.emit("x") == 2
        with pytest.raises(spanwire.PartialDeliveryError, match="b2") as caught:
            emitter.emit("x", count=True)
        assert caught.value.sockets == 2
        broker.execute_answer = command_pb2.Answer(sockets=1, silent_replicas=["b2"])
        with pytest.raises(spanwire.PartialDeliveryError, match="b2"):
            emitter.leave("r", to="s1", count=True)


# A count has the number of sockets, and for how many of them the event was dropped.
def test_emitter_dropped(broker: FakeBroker) -> None:
    with Emitter(broker.address) as emitter:
        broker.emit_response = emitter_pb2.EmitResponse(sockets=3, dropped=2, missing=3)
        for count in (False, True):
            reached = emitter.emit("x", count=count)
            assert (reached, reached.dropped) == (3, 2)
        assert emitter.emit_with_ack("x").dropped == 2
        assert emitter.emit("x", to=[]).dropped == 0


# An address that cannot be reached is skipped; a call that may have been executed is repeated only
# with a key.
def test_emitter_failover(broker: FakeBroker) -> None:
    other = FakeBroker()
    try:
        with Emitter(f"127.0.0.1:1,{broker.address},{other.address}", timeout=5) as emitter:
            assert emitter.emit("x") == 3
            assert len(broker.emitted) == 1
            broker.emit_error = (grpc.StatusCode.UNAVAILABLE, "half done")
            with pytest.raises(spanwire.BrokerUnavailableError, match="half done"):
                emitter.emit("y")
            assert not other.emitted
            assert emitter.emit("z") == 3  # the next address
            assert len(other.emitted) == 1
        with Emitter(f"{broker.address},{other.address}") as emitter:
            assert emitter.emit("x", idempotency_key="k") == 3
        with (
            Emitter("127.0.0.1:1,127.0.0.1:2") as emitter,
            pytest.raises(spanwire.BrokerUnavailableError, match="nothing listens"),
        ):
            emitter.emit("x")
    finally:
        other.stop()


# A token may change without a restart.
def test_tokens(broker: FakeBroker, tmp_path: pathlib.Path) -> None:
    secrets = iter(["one", "two"])
    with Emitter(broker.address, token=lambda: next(secrets)) as emitter:
        for expected in ("one", "two"):
            emitter.emit("x")
            assert broker.metadata["authorization"] == f"Bearer {expected}"
    file = tmp_path / "token"
    file.write_text("three\n")
    with Emitter(broker.address, token=file) as emitter:
        for expected in ("three", "four"):
            file.write_text(f"{expected}\n")
            emitter.emit("x")
            assert broker.metadata["authorization"] == f"Bearer {expected}"
    assert Settings(token="five").metadata == (("authorization", "Bearer five"),)


# A program presents its certificate, and trusts those of tls_ca.
def test_mutual_tls(tmp_path: pathlib.Path) -> None:
    subprocess.run(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "1",
            "-subj",
            "/CN=localhost",
            "-addext",
            "subjectAltName=IP:127.0.0.1",
            "-keyout",
            "key",
            "-out",
            "cert",
        ],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    key, cert = (tmp_path / "key").read_bytes(), (tmp_path / "cert").read_bytes()
    broker = FakeBroker(credentials=grpc.ssl_server_credentials([(key, cert)], cert, True))
    files = {"tls_ca": str(tmp_path / "cert"), "tls_cert": str(tmp_path / "cert"), "tls_key": str(tmp_path / "key")}
    try:
        with Emitter(broker.address, **files) as emitter:
            assert emitter.emit("x") == 3
        bare = Emitter(broker.address, tls_ca=files["tls_ca"], timeout=2)
        with pytest.raises(spanwire.BrokerUnavailableError):
            bare.emit("x")
        bare.close()
        service = spanwire.Service("s", address=broker.address, **files)
        service.on("x")(lambda socket: "x")
        with service:
            stream = broker.attached()
            assert stream.ack(stream.dispatch("x")) == ["x"]
    finally:
        broker.stop()
    with pytest.raises(ValueError, match="tls_key"):
        Emitter(tls_cert="c")


class Store:
    """What several processes share."""

    def __init__(self) -> None:
        self.kept: dict[str, str] = {}
        self.asked = 0

    def set_if_absent(self, key: str, value: str, keep: float) -> str | None:
        self.asked += 1
        if self.asked > 3:
            self.kept = {k: "1" if v == "running" else v for k, v in self.kept.items()}
        present = self.kept.get(key)
        self.kept.setdefault(key, value)
        return present

    def set(self, key: str, value: str, keep: float) -> None:
        self.kept[key] = value

    def delete(self, key: str) -> None:
        del self.kept[key]


# A handler can read which event it handles.
def test_current_event(broker: FakeBroker, service: Make) -> None:
    s = service()
    seen: list[spanwire.Event | None] = []

    @s.on("plain")
    def plain(socket: Any) -> None:
        seen.append(spanwire.current_event())

    @s.on("coroutine")
    async def coroutine(socket: Any) -> None:
        seen.append(spanwire.current_event())

    s.start()
    stream = broker.attached()
    numbers = [stream.dispatch("plain"), stream.dispatch("coroutine", redeliveries=2, wants_ack=False)]
    for number in numbers:
        stream.result(number)
    assert seen == [
        spanwire.Event(numbers[0], 0, "plain", "/", "s1", True),
        spanwire.Event(numbers[1], 2, "coroutine", "/", "s1", False),
    ]
    assert spanwire.current_event() is None


# An event that was handled is answered as it was then, in this process and in others that share the
# store.
@pytest.mark.parametrize("coroutine", [False, True])
def test_deduplicator(broker: FakeBroker, service: Make, coroutine: bool) -> None:
    s = service()
    store = Store()
    runs: list[str] = []

    def run(how: str) -> Any:
        runs.append(how)
        if how == "fails" and runs.count("fails") == 1:
            raise RuntimeError("at first")
        return b"bytes" if how == "bytes" else len(runs)

    async def run_async(socket: Any, how: str) -> Any:
        return run(how)

    for name, once in (
        ("here", Deduplicator(remember=1)),
        ("a", Deduplicator(store)),
        ("b", Deduplicator(store, lease=0.01)),
    ):
        s.on(name)(once(run_async) if coroutine else once(lambda socket, how: run(how)))
    s.start()
    stream = broker.attached()

    def call(name: str, how: str, number: int) -> Any:
        stream.results.pop(number, None)
        stream.dispatch(name, how, number=number)
        result = stream.result(number)
        return None if result.HasField("failure") else result.ack.args

    assert [call("here", "x", 101), call("here", "x", 101), call("here", "x", 102)] == [b"[1]", b"[1]", b"[2]"]
    assert call("here", "x", 101) == b"[3]"  # it was forgotten
    assert [call("here", "fails", 103), call("here", "fails", 103)] == [None, b"[5]"]
    assert [call("a", "x", 104), call("b", "x", 104)] == [b"[6]", b"[6]"]
    assert store.kept["spanwire:s1:68"] == "6"
    runs.clear()
    assert call("a", "fails", 105) is None
    assert "spanwire:s1:69" not in store.kept
    store.asked = 0
    store.kept["spanwire:s1:6a"] = "running"
    assert call("b", "x", 106) == b"[1]"  # another process ran it meanwhile
    call("a", "bytes", 107)
    assert store.kept["spanwire:s1:6b"] == "null"
    assert Deduplicator()(run)("outside") == len(runs)


SERVICE = """
import signal, spanwire, threading
signal.signal(signal.SIGINT, signal.default_int_handler)
service = spanwire.Service("x", address={address!r}, drain_timeout=30)
gate = threading.Event()
@service.on("open")
def open_gate(socket): gate.set()
@service.on("wait")
def wait(socket):
    print("begun", flush=True)
    gate.wait()
    return "done"
{rest}
"""


# At the first signal open events are finished, and none is lost; the second one ends the process at
# once.
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("second", [False, True])
@pytest.mark.parametrize("owner", ["run", "other"])
def test_signals(broker: FakeBroker, number: int, second: bool, owner: str) -> None:
    rest = "service.run()"
    if owner == "other":
        rest = f"service.start(); service.drain_on_signals({int(number)}); threading.Event().wait()"
        if number == signal.SIGINT:
            rest = "signal.signal(signal.SIGINT, signal.SIG_DFL);" + rest
    app = App("-c", SERVICE.format(address=broker.address, rest=rest))
    stream = broker.attached()
    waiting = stream.dispatch("wait")
    app.until("begun")
    app.process.send_signal(number)
    stream.wait(lambda: stream.draining)
    assert waiting not in stream.results
    if second:
        app.process.send_signal(number)
        assert app.process.wait(WAIT) != 0
        app.stop()
        return
    stream.dispatch("open", sid="s2")
    assert stream.ack(waiting) == ["done"]
    code = app.process.wait(WAIT)
    assert code == (0 if owner == "run" else -number)
    app.stop()


# The previous handler of the signal runs, too.
def test_signal_is_passed_on(broker: FakeBroker) -> None:
    rest = (
        "signal.signal(signal.SIGTERM, lambda *a: print('passed on', flush=True));"
        "service.start(); service.drain_on_signals(); threading.Event().wait()"
    )
    app = App("-c", SERVICE.format(address=broker.address, rest=rest))
    stream = broker.attached()
    waiting = stream.dispatch("wait")
    app.until("begun")
    app.process.send_signal(signal.SIGTERM)
    app.until("passed on")
    stream.wait(lambda: stream.draining)
    stream.dispatch("open", sid="s2")
    assert stream.ack(waiting) == ["done"]
    app.process.kill()
    app.stop()


def test_another_sockets_room() -> None:
    """A join to another socket's own room fails at once."""
    own, other = "abcdeAabcdefghijklmnopqrstuvwx", "abcdeA-_cdefghijklmnopqrstuvwx"

    def join(to: tuple[str, ...], *rooms: str) -> None:
        command = command_pb2.Command()
        assert _commands.move_to_proto(command, "join", rooms, Target(to))
        _commands.check_rooms(command)

    join((own,), own, "lobby")
    join((own,), other[1:], "abcdefabcdefghijklmnopqrstuvwx", other + "\n")
    for to, rooms in (((own,), ("lobby", other)), ((own, "lobby"), (own,))):
        with pytest.raises(spanwire.CommandError, match="allow-socket-id-rooms") as caught:
            join(to, *rooms)
        assert caught.value.code == "INVALID"
