# SPDX-License-Identifier: Apache-2.0
"""The behaviours that applications of Flask-SocketIO rely on."""

from __future__ import annotations

import json
import logging
import re
import threading
from collections.abc import Callable, Iterator
from typing import Any

import flask
import pytest
from fakebroker import WAIT, Attachment, FakeBroker, acks

from spanwire._proto import command_pb2
from spanwire.flask import (
    ConnectionRefusedError,
    Namespace,
    SocketIO,
    call,
    close_room,
    disconnect,
    emit,
    join_room,
    leave_room,
    rooms,
    send,
)

Begin = Callable[[], Attachment]


@pytest.fixture
def app() -> flask.Flask:
    made = flask.Flask("tests")
    made.secret_key = "s3cret"
    return made


@pytest.fixture
def socketio(app: flask.Flask, broker: FakeBroker) -> Iterator[SocketIO]:
    made = SocketIO(app, address=broker.address, drain_timeout=5, emit_timeout=1)
    yield made
    made.stop()


@pytest.fixture
def begin(broker: FakeBroker, socketio: SocketIO) -> Begin:
    """Attaches, once the test has registered its handlers."""

    def attach() -> Attachment:
        socketio.attach(WAIT)
        return broker.attached()

    return attach


# F1: lifecycle handlers receive the arguments that they take, and are called once.
def test_f1_lifecycle(socketio: SocketIO, begin: Begin, caplog: pytest.LogCaptureFixture) -> None:
    calls: list[Any] = []
    socketio.on("connect")(lambda auth: calls.append(auth))
    socketio.on("disconnect")(lambda: calls.append("bye"))
    socketio.on("connect", namespace="/a")(lambda: calls.append("a"))
    socketio.on("disconnect", namespace="/a")(lambda reason: calls.append(reason))

    @socketio.on("connect", namespace="/t")
    def fails() -> None:
        calls.append("t")
        raise TypeError("inside")

    stream = begin()
    stream.result(stream.connect(auth={"k": 1}))
    stream.result(stream.connect("s0"))
    stream.result(stream.disconnected())
    stream.result(stream.connect("s2", "/a"))
    stream.result(stream.disconnected("s2", "/a", reason=socketio.reason.PING_TIMEOUT))
    with caplog.at_level(logging.CRITICAL, "spanwire"):
        assert stream.result(stream.connect("s3", "/t")).HasField("failure")
    assert calls == [{"k": 1}, None, "bye", "a", "ping timeout", "t"]


# F2: each way to refuse a connect.
@pytest.mark.parametrize(
    ("behaviour", "message", "data"),
    [
        (lambda: False, "", b""),
        (ConnectionRefusedError(), "", b""),
        (ConnectionRefusedError("m"), "m", b""),
        (ConnectionRefusedError("m", "x"), "m", b'"x"'),
        (ConnectionRefusedError("m", "x", 2), "m", b'["x",2]'),
        (__builtins__["ConnectionRefusedError"]("m"), "", b""),  # type: ignore[index]
    ],
)
def test_f2_refusal(socketio: SocketIO, begin: Begin, behaviour: Any, message: str, data: bytes) -> None:
    @socketio.on_error_default
    def never(error: Exception) -> None:
        raise AssertionError("refusals are no errors")

    @socketio.on("connect")
    def connect() -> Any:
        if isinstance(behaviour, Exception):
            raise behaviour
        return behaviour()

    stream = begin()
    refusal = stream.result(stream.connect()).refusal
    assert (refusal.message, refusal.data) == (message, data)


# F3: the ack is the return value of the handler.
@pytest.mark.parametrize(
    ("value", "ack"),
    [(None, []), ((1, 2), [1, 2]), ([1, 2], [[1, 2]]), ("x", ["x"]), ({"b": 1, "a": 2}, [{"b": 1, "a": 2}])],
)
def test_f3_ack(socketio: SocketIO, begin: Begin, value: Any, ack: Any) -> None:
    socketio.on("x")(lambda: value)
    stream = begin()
    assert stream.ack(stream.dispatch("x")) == ack
    assert stream.ack(stream.dispatch("x", wants_ack=False)) is None
    assert stream.result(stream.dispatch("nobody")).WhichOneof("outcome") is None


# F4: exceptions go to the error handler of the namespace, or else to the default one, whose value
# is the ack; or else to the log.
def test_f4_errors(socketio: SocketIO, begin: Begin, caplog: pytest.LogCaptureFixture) -> None:
    for space in ("/", "/other"):
        socketio.on_event("x", lambda: 1 / 0, namespace=space)
    stream = begin()
    with caplog.at_level(logging.CRITICAL, "spanwire"):
        assert stream.result(stream.dispatch("x")).HasField("failure")
    socketio.on_error()(lambda error: f"main {type(error).__name__} {flask.request.event['message']}")
    socketio.on_error_default(lambda error: "default")
    assert stream.ack(stream.dispatch("x")) == ["main ZeroDivisionError x"]
    assert stream.ack(stream.dispatch("x", sid="o", namespace="/other")) == ["default"]
    for decorate in (socketio.on_error(), socketio.on_error_default):
        with pytest.raises(ValueError, match="callable"):
            decorate("not a function")  # type: ignore[type-var]


# F5 and F6: when arguments are serialised, and whose error a value is that cannot be sent.
def test_f5_f6_arguments(socketio: SocketIO, begin: Begin) -> None:
    errors: list[Exception] = []

    @socketio.on("x")
    def x() -> None:
        emit("tuple", (1, 2))
        emit("several", 1, 2)
        emit("list", [1, 2])
        emit("none", None)
        emit("nothing")
        changing = {"z": 1, "a": [1]}
        emit("changing", changing)
        changing["a"].append(2)  # type: ignore[attr-defined]
        try:
            emit("bad", object())
        except TypeError as error:
            errors.append(error)
        emit("binary", {"b": b"\x00\x01"})

    stream = begin()
    assert stream.ack(stream.dispatch("x")) == []
    assert [e[:2] for e in stream.emits(7)] == [
        ("tuple", [1, 2]),
        ("several", [1, 2]),
        ("list", [[1, 2]]),
        ("none", []),
        ("nothing", []),
        ("changing", [{"z": 1, "a": [1]}]),
        ("binary", [{"b": {"_placeholder": True, "num": 0}}]),
    ]
    assert list(stream.command("emit", 6).emit.event.attachments) == [b"\x00\x01"]
    assert len(errors) == 1


# F7: the contexts are those of the handshake, and hooks of HTTP requests do not run.
def test_f7_contexts(app: flask.Flask, socketio: SocketIO, begin: Begin) -> None:
    torn: list[Any] = []
    app.before_request(lambda: torn.append("before"))
    app.after_request(lambda response: torn.append("after") or response)
    app.teardown_request(lambda error: torn.append("teardown"))
    marks: list[Any] = []

    @socketio.on("where")
    def where(data: Any) -> dict[str, Any]:
        marks.append(flask.g.get("mark"))
        flask.g.mark = data
        r = flask.request
        return {
            "app": flask.current_app.name,
            "sid": r.sid,  # type: ignore[attr-defined]
            "namespace": r.namespace,  # type: ignore[attr-defined]
            "event": r.event["message"],  # type: ignore[attr-defined]
            "args": r.event["args"],  # type: ignore[attr-defined]
            "query": r.args["name"],
            "agent": r.headers["User-Agent"],
            "accept": r.headers["Accept"],
            "cookies": dict(r.cookies),
            "address": r.remote_addr,
            "host": r.host,
            "secure": r.is_secure,
            "path": r.path,
            "method": r.method,
            "url": flask.url_for("static", filename="x", _external=True),
        }

    stream = begin()
    for _ in range(2):
        assert stream.ack(stream.dispatch("where", {"d": 1})) == [
            {
                "app": "tests",
                "sid": "s1",
                "namespace": "/",
                "event": "where",
                "args": [{"d": 1}],
                "query": "Jürgen",
                "agent": "tests",
                "accept": "a,b",
                "cookies": {"user": "anna", "tint": "red"},
                "address": "192.0.2.7",
                "host": "chat.example:8443",
                "secure": True,
                "path": "/socket.io/",
                "method": "GET",
                "url": "https://chat.example:8443/static/x",
            }
        ]
    assert torn == ["teardown", "teardown"]
    assert marks == [None, None]  # g is new for each event


# F8: a socket has its own copy of the session, which lives as long as the socket.
def test_f8_session(app: flask.Flask, socketio: SocketIO, begin: Begin) -> None:
    with app.test_request_context():
        sessions: Any = app.session_interface
        cookie = sessions.get_signing_serializer(app).dumps({"name": "anna"})

    @socketio.on("count")
    def count() -> list[Any]:
        flask.session["n"] = flask.session.get("n", 0) + 1
        return [flask.session.get("name"), flask.session["n"]]

    from fakebroker import HANDSHAKE

    shake = type(HANDSHAKE)()
    shake.CopyFrom(HANDSHAKE)
    shake.headers[2].value = f"session={cookie}"
    stream = begin()
    assert stream.ack(stream.dispatch("count", sid="a", handshake=shake)) == [["anna", 1]]
    assert stream.ack(stream.dispatch("count", sid="a")) == [["anna", 2]]
    assert stream.ack(stream.dispatch("count", sid="b", handshake=shake)) == [["anna", 1]]


# F8: with manage_session=False the session is the application's own, opened and saved around each
# event.
def test_f8_unmanaged_session(app: flask.Flask, socketio: SocketIO, begin: Begin) -> None:
    store: dict[str, Any] = {}

    class Stored(dict, flask.sessions.SessionMixin):  # type: ignore[type-arg]
        pass

    class Interface(flask.sessions.SessionInterface):
        def open_session(self, app: Any, request: Any) -> Any:
            return Stored(store)

        def save_session(self, app: Any, session: Any, response: Any) -> None:
            store.update(session)

    app.session_interface = Interface()
    socketio.init_app(app, manage_session=False)

    @socketio.on("count")
    def count() -> int:
        flask.session["n"] = flask.session.get("n", 0) + 1
        return int(flask.session["n"])

    stream = begin()
    assert stream.ack(stream.dispatch("count", sid="a")) == [1]
    assert stream.ack(stream.dispatch("count", sid="a")) == [2]
    assert stream.ack(stream.dispatch("count", sid="b")) == [3]
    assert store == {"n": 3}


# F9: the meaning of the star, and the precedence.
def test_f9_catch_all(socketio: SocketIO, begin: Begin) -> None:
    socketio.on("exact", namespace="/n")(lambda *a: ["exact", *a])
    socketio.on("*", namespace="/n")(lambda event, *a: ["ns *", event, *a])
    request: Any = flask.request
    socketio.on("exact", namespace="*")(lambda *a: ["* exact", request.namespace, *a])
    socketio.on("*", namespace="*")(lambda event, *a: ["* *", event, *a])
    socketio.on("only", namespace="*")(lambda *a: ["* only", *a])
    socketio.on("x", namespace="/m")(lambda: None)
    stream = begin()
    assert stream.ack(stream.dispatch("exact", 1, namespace="/n")) == [["exact", 1]]
    assert stream.ack(stream.dispatch("other", 1, namespace="/n")) == [["ns *", "other", 1]]
    assert stream.ack(stream.dispatch("only", 1, namespace="/n")) == [["ns *", "only", 1]]
    assert stream.ack(stream.dispatch("exact", 1, sid="m", namespace="/m")) == [["* exact", "/m", 1]]
    assert stream.ack(stream.dispatch("other", 1, sid="m", namespace="/m")) == [["* *", "other", 1]]
    assert stream.result(stream.connect("c", "/m")).HasField("ack")
    assert {r.namespace: r.catch_all for r in stream.register.registrations} == {"/m": True, "/n": True}


# F10: a handler can disconnect its socket, or another.
def test_f10_disconnect(socketio: SocketIO, begin: Begin) -> None:
    @socketio.on("bye")
    def bye() -> None:
        disconnect()
        disconnect("another", namespace="/x", silent=True)

    stream = begin()
    stream.result(stream.dispatch("bye"))
    one, two = stream.command("disconnect").disconnect, stream.command("disconnect", 1).disconnect
    assert (list(one.target.rooms), one.target.namespace, one.close_session) == (["s1"], "/", False)
    assert (list(two.target.rooms), two.target.namespace) == (["another"], "/x")


# F11 and F12: the receivers of an emit.
def test_f11_f12_receivers(socketio: SocketIO, begin: Begin) -> None:
    @socketio.on("x", namespace="/n")
    def x() -> None:
        emit("self")
        emit("all", broadcast=True)
        emit("others", broadcast=True, include_self=False)
        emit("skip", broadcast=True, include_self=False, skip_sid=["a", "b"])
        emit("room", to="r")
        emit("room", room=["r", "q"], include_self=False)
        emit("elsewhere", namespace="/m", to="r")
        send("text")
        send({"a": 1}, json=True, broadcast=True)
        socketio.emit("server")
        socketio.send("server", namespace="/n", to="r")
        socketio.emit("server", include_self=False, namespace="/n")

    stream = begin()
    stream.result(stream.dispatch("x", namespace="/n"))
    assert stream.emits(12) == [
        ("self", [], ["s1"], [], "/n"),
        ("all", [], [], [], "/n"),
        ("others", [], [], ["s1"], "/n"),
        ("skip", [], [], ["a", "b"], "/n"),
        ("room", [], ["r"], [], "/n"),
        ("room", [], ["r", "q"], ["s1"], "/n"),
        ("elsewhere", [], ["r"], [], "/m"),
        ("message", ["text"], ["s1"], [], "/n"),
        ("json", [{"a": 1}], [], [], "/n"),
        ("server", [], [], [], "/"),
        ("message", ["server"], ["r"], [], "/n"),
        ("server", [], [], ["s1"], "/n"),
    ]


# F12: rooms are joined, left, closed and listed.
def test_f12_rooms(socketio: SocketIO, begin: Begin, broker: FakeBroker) -> None:
    # The broker does not know a socket whose connect is not accepted yet; what this process knows
    # counts then.
    broker.answer = lambda c: command_pb2.Answer(id=c.id)

    @socketio.on("x")
    def x() -> list[Any]:
        join_room("a")
        join_room("b")
        join_room("c", sid="unknown", namespace="/n")
        first = rooms()
        leave_room("b")
        second = rooms()
        close_room("a")
        return [first, second, rooms(), rooms("unknown")]

    stream = begin()
    assert stream.ack(stream.dispatch("x")) == [[["s1", "a", "b"], ["s1", "a"], ["s1"], []]]
    join, leave, close = stream.command("join").join, stream.command("leave").leave, stream.command("leave", 1).leave
    assert (list(join.target.rooms), list(join.rooms)) == (["s1"], ["a"])
    assert stream.command("join", 2).join.target.namespace == "/n"
    assert (list(leave.target.rooms), list(leave.rooms)) == (["s1"], ["b"])
    assert (list(close.target.rooms), list(close.rooms)) == (["a"], ["a"])


# rooms() lists rooms that other processes added, wherever the socket lives; after the disconnect
# the last ones.
def test_rooms_of_others(socketio: SocketIO, begin: Begin, broker: FakeBroker) -> None:
    def answer(command: command_pb2.Command) -> command_pb2.Answer:
        target = command.fetch_sockets.target
        here = target.local and target.namespace == "/here"
        found = [command_pb2.SocketInfo(socket_id=target.rooms[0], rooms=[target.rooms[0], "r"])]
        return command_pb2.Answer(id=command.id, found=found if here or not target.local else [])

    seen: list[Any] = []
    broker.answer = answer
    socketio.on("x")(lambda: [rooms(), rooms("other", "/here")])
    socketio.on("disconnect")(lambda: seen.append(rooms()))

    @socketio.on("coroutine")
    async def coroutine() -> Any:
        join_room("mine")
        return rooms()

    stream = begin()
    assert stream.ack(stream.dispatch("x")) == [[["s1", "r"], ["other", "r"]]]
    assert [c.fetch_sockets.target.local for c in stream.commands] == [True, False, True]
    assert stream.ack(stream.dispatch("coroutine")) == [["s1", "mine"]]
    stream.result(stream.disconnected(rooms=("s1", "r", "q")))
    assert seen == [["s1", "r", "q"]]


# Handlers of a pattern know the actual namespace, and so do those for their exceptions.
def test_patterns(socketio: SocketIO, begin: Begin, app: flask.Flask) -> None:
    pattern = re.compile(r"/room-\d+")
    request: Any = flask.request
    socketio.on("x", namespace=pattern)(lambda: request.namespace)
    socketio.on("bad", namespace=pattern)(lambda: 1 / 0)
    socketio.on("bad")(lambda: 1 / 0)
    socketio.on_error(pattern)(lambda error: "pattern")
    socketio.on_error_default(lambda error: "default")
    stream = begin()
    assert [(r.namespace, r.pattern) for r in stream.register.registrations] == [("/", False), (r"/room-\d+", True)]
    assert stream.ack(stream.dispatch("x", sid="r", namespace="/room-7")) == ["/room-7"]
    assert stream.ack(stream.dispatch("bad", sid="r", namespace="/room-7")) == ["pattern"]
    assert stream.ack(stream.dispatch("bad")) == ["default"]


# namespaces="*" registers every namespace.
def test_all_namespaces(socketio: SocketIO, begin: Begin, app: flask.Flask) -> None:
    socketio.on("x", namespace="*")(lambda: flask.request.namespace)  # type: ignore[attr-defined]
    socketio.init_app(app, namespaces="*")
    stream = begin()
    (registration,) = stream.register.registrations
    assert (registration.namespace, registration.pattern, list(registration.events)) == ("/.*", True, ["x"])
    assert stream.ack(stream.dispatch("x", namespace="/any")) == ["/any"]


# F13: a callback runs in the contexts of the socket that was handled at the time of the emit.
def test_f13_callback(broker: FakeBroker, socketio: SocketIO, begin: Begin, app: flask.Flask) -> None:
    broker.answer = acks(("s1", ["yes", 2]))
    called: list[Any] = []
    done = threading.Event()

    def callback(*args: Any) -> None:
        request: Any = flask.request
        called.append((request.sid, request.namespace, args))
        emit("after")
        done.set()

    @socketio.on("x")
    def x() -> None:
        emit("ask", callback=callback)

    stream = begin()
    stream.result(stream.dispatch("x"))
    assert done.wait(WAIT)
    assert called == [("s1", "/", ("yes", 2))]
    assert [e[0] for e in stream.emits(2)] == ["ask", "after"]

    done.clear()

    def elsewhere(*args: Any) -> None:
        called.append((flask.current_app.name, args))
        done.set()

    socketio.emit("ask", to="s1", callback=elsewhere)
    assert done.wait(WAIT)
    assert called[1] == ("tests", ("yes", 2))


# call() waits for the ack: of the current socket, or of a named one.
def test_call(broker: FakeBroker, socketio: SocketIO, begin: Begin) -> None:
    broker.answer = acks(("s1", ["yes"]))
    socketio.on("x")(lambda: call("question", 1, timeout=5))
    stream = begin()
    assert stream.ack(stream.dispatch("x")) == ["yes"]
    broker.answer = acks(("s1", [1, 2]))
    assert socketio.call("question", to="s1") == [1, 2]
    broker.answer = acks(("s1", []))
    assert socketio.call("question", to="s1") is None
    broker.answer = acks(missing=1)
    with pytest.raises(TimeoutError):
        socketio.call("question", to="s1", timeout=1)
    with pytest.raises(ValueError, match="to="):
        socketio.call("question")


# F16: emits from a view and from a thread leave in order, on the stream of the process.
def test_f16_emit_from_anywhere(app: flask.Flask, socketio: SocketIO, begin: Begin) -> None:
    socketio.on("x")(lambda: None)

    @app.route("/emit")
    def view() -> str:
        emit("from the view", {"a": 1}, broadcast=True, namespace="/")
        with pytest.raises(RuntimeError, match="broadcast"):
            emit("to whom?")
        for act in (disconnect, rooms, lambda: join_room("r"), lambda: leave_room("r")):
            with pytest.raises(RuntimeError, match="sid"):
                act()
        return "ok"

    stream = begin()
    assert app.test_client().get("/emit").data == b"ok"

    def work(n: int) -> None:
        socketio.sleep(0)
        for i in range(n):
            socketio.emit("from a thread", i)

    socketio.start_background_task(work, 50).join()
    assert [e[:2] for e in stream.emits(51)] == [("from the view", [{"a": 1}])] + [("from a thread", [i]) for i in range(50)]


# F16: a process that does not serve the application emits through unary calls.
def test_f16_emit_from_a_script(broker: FakeBroker, app: flask.Flask) -> None:
    for socketio in (SocketIO(app, address=broker.address), SocketIO(message_queue="redis://", address=broker.address)):
        socketio.emit("x", 1, to="r", namespace="/n", skip_sid="s")
        emitted = broker.emitted.pop()
        assert (emitted.event.name, emitted.event.args) == ("x", b"[1]")
        assert (list(emitted.target.rooms), emitted.target.namespace) == (["r"], "/n")
        assert list(getattr(emitted.target, "except")) == ["s"]
        broker.emit_response.acks.add(socket_id="s").ack.args = b'["yes"]'
        assert socketio.call("x", to="s") == "yes"
        broker.emit_response.ClearField("acks")
        with pytest.raises(TimeoutError):
            socketio.call("x", to="s")
        with pytest.raises(RuntimeError, match="callback"):
            socketio.emit("x", callback=print)
        socketio._own_emitter().close()


# F17: handlers may precede the application, share a function, and belong to several objects.
def test_f17_registration(broker: FakeBroker) -> None:
    one, two = SocketIO(), SocketIO()

    @one.on("a")
    @one.on("b", namespace="/n")
    @two.on("c")
    def handler() -> str:
        return flask.current_app.name

    @one.event
    def bare() -> str:
        return "bare"

    @one.event(namespace="/n")
    def called() -> str:
        return "called"

    for socketio, name in ((one, "app one"), (two, "two")):
        app = flask.Flask(name)
        socketio.init_app(app, address=broker.address)
        assert app.extensions["socketio"] is socketio
        socketio.attach(WAIT)
    streams = {s.register.service: s for s in (broker.attached(), broker.attached())}
    first, second = streams["app-one"], streams["two"]
    assert first.ack(first.dispatch("a")) == ["app one"]
    assert first.ack(first.dispatch("b", sid="n", namespace="/n")) == ["app one"]
    assert first.ack(first.dispatch("bare")) == ["bare"]
    assert first.ack(first.dispatch("called", sid="n", namespace="/n")) == ["called"]
    assert second.ack(second.dispatch("c")) == ["two"]
    one.stop()
    two.stop()


# Handlers as the methods of a class; names from browsers are never looked up on the object.
def test_namespace_class(socketio: SocketIO, begin: Begin) -> None:
    class Chat(Namespace):
        def on_connect(self, auth: Any) -> Any:
            return auth != "no"

        def on_disconnect(self) -> None:
            self.emit("left", flask.request.sid)  # type: ignore[attr-defined]

        def on_say(self, text: str) -> str:
            self.emit("said", text, include_self=False)
            self.send(text, room="r")
            self.close_room("r")
            return text.upper()

    with pytest.raises(RuntimeError, match="on_namespace"):
        Chat("/chat").emit("x")
    socketio.on_namespace(Chat("/chat"))
    with pytest.raises(ValueError, match="Namespace"):
        socketio.on_namespace(object())  # type: ignore[arg-type]
    stream = begin()
    assert stream.result(stream.connect(namespace="/chat")).HasField("ack")
    assert stream.result(stream.connect("s2", namespace="/chat", auth="no")).HasField("refusal")
    assert stream.ack(stream.dispatch("say", "hello", namespace="/chat")) == ["HELLO"]
    assert stream.result(stream.dispatch("__init__", namespace="/chat")).WhichOneof("outcome") is None
    stream.result(stream.disconnected(namespace="/chat"))
    assert stream.emits(3) == [
        ("said", ["hello"], [], ["s1"], "/chat"),
        ("message", ["hello"], ["r"], [], "/chat"),
        ("left", ["s1"], [], [], "/chat"),
    ]


# An override of trigger_event sees every event.
def test_namespace_trigger_event(socketio: SocketIO, begin: Begin) -> None:
    seen: list[Any] = []

    class All(Namespace):
        def trigger_event(self, event: str, *args: Any) -> Any:
            seen.append((event, args))
            return super().trigger_event(event, *args)

        def on_known(self) -> str:
            return "known"

    socketio.on_namespace(All())
    stream = begin()
    assert stream.result(stream.connect()).HasField("ack")
    assert stream.ack(stream.dispatch("known")) == ["known"]
    assert stream.ack(stream.dispatch("unknown", 1)) == []
    assert seen == [("connect", (None,)), ("known", ()), ("unknown", (1,))]


# Coroutine functions can be handlers too.
def test_coroutine_handler(socketio: SocketIO, begin: Begin) -> None:
    @socketio.on("x")
    async def x(data: int) -> int:
        emit("from the coroutine")
        return data + int(bool(flask.request.sid))  # type: ignore[attr-defined]

    stream = begin()
    assert stream.ack(stream.dispatch("x", 1)) == [2]
    assert [e[0] for e in stream.emits()] == ["from the coroutine"]


# Options without an effect are logged, and raise nothing.
def test_options(app: flask.Flask, caplog: pytest.LogCaptureFixture) -> None:
    SocketIO(
        app,
        ping_interval=5,
        cors_allowed_origins="*",
        async_mode="eventlet",
        message_queue="redis://",
        path="x",
        novelty=1,
    )
    for word in ("ping_interval", "cors_allowed_origins", "async_mode", "message_queue", "novelty"):
        assert f"setting={word} " in caplog.text


# A process that only imports the application does not attach; the first request of a server
# attaches it.
def test_attaches_when_served(app: flask.Flask, broker: FakeBroker) -> None:
    socketio = SocketIO(app, address=broker.address)
    socketio.on("x")(lambda: None)
    app.test_client().get("/")
    assert not socketio.service.started
    environ = app.test_request_context().request.environ | {"SERVER_SOFTWARE": "gunicorn/23"}
    list(app.wsgi_app(environ, lambda *_: None))
    broker.attached()
    socketio.stop()


# Without a broker, an emit of a process that is about to attach waits a little and raises what is
# wrong.
def test_emit_before_attached(app: flask.Flask) -> None:
    probe = FakeBroker()
    probe.stop()
    socketio = SocketIO(app, address=probe.address, emit_timeout=0.1, drain_timeout=0.1)
    socketio.on("x")(lambda: None)
    socketio.attach()
    logging.getLogger("spanwire").disabled = True
    try:
        with pytest.raises(Exception, match="SPANWIRE_ADDRESS"):
            socketio.emit("x")
    finally:
        logging.getLogger("spanwire").disabled = False
        socketio.stop()


def test_json_stand_in(broker: FakeBroker) -> None:
    class Shout:
        dumps = staticmethod(lambda value, **k: json.dumps(value, **k).upper())
        loads = staticmethod(json.loads)

    socketio = SocketIO(flask.Flask("j"), address=broker.address, json=Shout())
    socketio.emit("x", "loud")
    assert broker.emitted[0].event.args == b'["LOUD"]'
    socketio._own_emitter().close()


# Handlers see their event in request.event, also concurrent ones, which have their own request
# contexts and share the session.
def test_identity_of_events(socketio: SocketIO, begin: Begin) -> None:
    gate = threading.Event()

    @socketio.on("beside", concurrent=True)
    def beside() -> Any:
        if not gate.is_set():
            emit("waiting")
            assert gate.wait(WAIT)
        flask.session["seen"] = flask.session.get("seen", 0) + 1
        return [flask.request.event["message"], flask.request.event["id"], flask.request.event["redeliveries"]]

    @socketio.on("plain")
    def plain() -> Any:
        return [flask.request.event["message"], flask.session.get("seen", 0)]

    stream = begin()
    stream.result(stream.connect())
    assert stream.ack(stream.dispatch("plain")) == [["plain", 0]]
    number = stream.dispatch("beside", redeliveries=2)
    stream.emits()
    assert stream.ack(stream.dispatch("plain")) == [["plain", 0]]
    gate.set()
    assert stream.ack(number) == [["beside", number, 2]]
    assert stream.ack(stream.dispatch("plain")) == [["plain", 1]]


# A request after stop() does not attach the application again; attach() does.
def test_stopped_stays_away(app: flask.Flask, socketio: SocketIO, begin: Begin, broker: FakeBroker) -> None:
    socketio.on("x")(lambda: "x")
    begin()
    socketio.stop()
    environ = app.test_request_context().request.environ | {"SERVER_SOFTWARE": "gunicorn/23"}
    list(app.wsgi_app(environ, lambda *_: None))
    assert not socketio.service.started
    stream = begin()
    assert stream.ack(stream.dispatch("x")) == ["x"]
