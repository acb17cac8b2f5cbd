# SPDX-License-Identifier: Apache-2.0
"""Wrong parameters: the error names the parameter, what was passed, and what to do."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import flask
import pytest

import spanwire.flask
from spanwire import Deduplicator, Emitter, Service, Socket, Target
from spanwire._records import SocketState


def nothing(*_: Any) -> None:
    """A handler."""


def handler(*_: Any) -> None:
    """Another handler, passed where a name belongs."""


SOCKET = Socket(Service("s"), None, SocketState("s1", "/", 1))  # type: ignore[arg-type]

WRONG: list[tuple[Callable[[Any], Any], str, str]] = [
    # Events.
    (lambda s: s.emit(5), "event name: got int 5", "pass the name first"),
    (lambda s: s.emit(b"e"), "event name: got bytes b'e'", "pass the name first"),
    (lambda s: s.emit(["e"]), "event name: got list", "pass the name first"),
    (lambda s: s.emit(None), "event name: got NoneType", "pass the name first"),
    (lambda s: s.to("r").emit({"a": 1}), "event name: got dict", "pass the name first"),
    (lambda s: s.emit_with_ack(5), "event name: got int 5", "pass the name first"),
    (lambda s: s.emit("connect"), "event name 'connect': reserved", "choose another"),
    (lambda s: s.server_side_emit(5), "message name: got int 5", "pass the name first"),
    (lambda s: s.server_side_emit(""), "message name: is empty", "pass the name first"),
    # Rooms, and what is mistaken for them.
    (lambda s: s.emit("e", to=5), "room: got int 5", "or socket ids"),
    (lambda s: s.emit("e", to=b"r"), "room: got bytes b'r'", "or socket ids"),
    (lambda s: s.emit("e", to=["r", None]), "room: got NoneType None", "or socket ids"),
    (lambda s: s.emit("e", to="r", except_=5), "room: got int 5", "or socket ids"),
    (lambda s: s.to(7), "room: got int 7", "or socket ids"),
    (lambda s: s.emit("e", to=SOCKET), "room: got Socket", "socket.id"),
    (lambda s: s.to(Target("r")), "room: got Target", "pass a target alone"),
    (lambda s: s.emit("e", to=[Target("r")]), "room: got Target", "pass a target alone"),
    (lambda s: s.except_([1]), "room: got int 1", "or socket ids"),
    (lambda s: s.of("/").sockets_join(3), "room: got int 3", "or socket ids"),
    (lambda s: s.join(3, to="r"), "room: got int 3", "or socket ids"),
    (lambda s: Target(5), "room: got int 5", "or socket ids"),
    (lambda s: s.server_side_emit("m", services=5), "service: got int 5", "name of a service"),
    # Namespaces.
    (lambda s: s.of(5), "namespace: got int 5", "pass '/name'"),
    (lambda s: s.of(None), "namespace: got NoneType", "pass '/name'"),
    (lambda s: s.emit("e", namespace=["/n"]), "namespace: got list", "pass '/name'"),
    (lambda s: s.emit("e", namespace="chat"), "namespace 'chat': not a valid name", "begin with a slash"),
    (lambda s: s.rooms(5), "namespace: got int 5", "pass '/name'"),
    (lambda s: s.rooms(re.compile("/x")), "namespace: got the pattern '/x'", "once for each"),
    (lambda s: Target(namespace=5), "namespace: got int 5", "pass '/name'"),
    # Numbers and truth values.
    (lambda s: s.of("/").fetch_sockets(limit="5"), "limit: got str '5'", "pass an int"),
    (lambda s: s.of("/").fetch_sockets(limit=-1), "limit: got -1", "pass 0 or more"),
    (lambda s: s.rooms(own="yes"), "own: got str 'yes'", "pass True or False"),
    (lambda s: s.of("/").disconnect_sockets(close="no"), "close_session: got str 'no'", "pass True or False"),
    # Durations and functions.
    (lambda s: s.to("r").timeout("5"), "timeout: got str '5'", "pass seconds"),
    (lambda s: s.emit_with_ack("e", timeout=True), "timeout: got bool True", "pass seconds"),
]

ONLY_SERVICE: list[tuple[Callable[[Service], Any], str, str]] = [
    (lambda s: s.emit("e", callback=5), "callback: got int 5", "pass a function"),
    (lambda s: s.to("r").emit("e", callback="f"), "callback: got str 'f'", "pass a function"),
    (lambda s: s.server_side_emit("m", callback=5), "callback: got int 5", "pass a function"),
    (lambda s: s.on(handler), "event name: got the function 'handler'", "call the decorator"),
    (lambda s: s.on_message(handler), "message name: got the function 'handler'", "call the decorator"),
    (lambda s: s.on_room(handler), "room change name: got the function 'handler'", "call the decorator"),
    (lambda s: s.on(5), "event name: got int 5", "pass the name of the event"),
    (lambda s: s.add("e", None), "handler: got NoneType None", "pass a function"),
    (lambda s: s.on("e", namespace=5)(nothing), "namespace: got int 5", "pass '/name'"),
    (lambda s: s.on("e", namespace="n")(nothing), "namespace 'n': does not begin", "pass '/n'"),
    (lambda s: s.on_any("f"), "handler: got str 'f'", "pass a function"),
    (lambda s: s.on_any_outgoing("f"), "handler: got str 'f'", "pass a function"),
    (lambda s: Service(5), "service name: got int 5", "pass the name"),
    (lambda s: Service("s", namespaces=[5]), "namespace: got int 5", "pass '/name'"),
    (lambda s: Service("s", drain_timeout="1"), "drain_timeout: got str '1'", "pass seconds"),
    (lambda s: Service("s", emit_timeout="1"), "emit_timeout: got str '1'", "pass seconds"),
    (lambda s: Service("s", workers="4"), "workers: got str '4'", "pass an int"),
    (lambda s: Service("s", workers=0), "workers: got 0", "pass 1 or more"),
    (lambda s: Service("s", json=5), "json: got int 5", "dumps and loads"),
    (lambda s: s.on_connect(connect_order="1")(nothing), "connect_order: got str '1'", "pass an int"),
    (lambda s: SOCKET.set_data(1, if_version="1"), "if_version: got str '1'", "pass an int"),
    (lambda s: SOCKET.update_data(5), "change: got int 5", "pass a function"),
    (lambda s: Deduplicator()("f"), "handler: got str 'f'", "pass a function"),
    (lambda s: Emitter(token=5), "token: got int", "a path"),
    (lambda s: Emitter("127.0.0.1:1").emit("e", idempotency_key=5), "idempotency_key: got int 5", "as text"),
    (lambda s: Emitter("127.0.0.1:1").emit("e", count="yes"), "count: got str 'yes'", "pass True or False"),
    (lambda s: Emitter("127.0.0.1:1").retire_service(5), "service name: got int 5", "pass the name"),
    (lambda s: spanwire.flask.SocketIO("x"), "app: got str 'x'", "Flask(__name__)"),
    (lambda s: Emitter(50051), "address: got int 50051", "pass 'host:port'"),
    (lambda s: Emitter(namespace=5), "namespace: got int 5", "pass '/name'"),
    (lambda s: Emitter(timeout="1"), "timeout: got str '1'", "pass seconds"),
    (lambda s: spanwire.flask.SocketIO(flask.Flask("x")).on(handler), "event name: got the function", "call the decorator"),
]


@pytest.mark.parametrize(
    "kind",
    [lambda: Service("s", address="127.0.0.1:1"), lambda: Emitter("127.0.0.1:1")],
    ids=["service", "emitter"],
)
@pytest.mark.parametrize(("call", "problem", "advice"), WRONG)
def test_wrong(kind: Callable[[], Any], call: Callable[[Any], Any], problem: str, advice: str) -> None:
    caller = kind()
    with pytest.raises((TypeError, ValueError)) as caught:
        call(caller)
    assert problem in str(caught.value)
    assert advice in str(caught.value)
    if isinstance(caller, Emitter):
        caller.close()


@pytest.mark.parametrize(("call", "problem", "advice"), ONLY_SERVICE)
def test_wrong_for_services(call: Callable[[Service], Any], problem: str, advice: str) -> None:
    with pytest.raises((TypeError, ValueError)) as caught:
        call(Service("s", address="127.0.0.1:1"))
    assert problem in str(caught.value)
    assert advice in str(caught.value)


# A subclass of str is a name like any other, and one namespace need not be in a list.
def test_accepted() -> None:
    class Name(str):
        __slots__ = ()

    assert Target(Name("r")).rooms == ("r",)
    assert Target({"a"}, except_=("b", "c")).excepted == ("b", "c")
    assert Service("s", namespaces="/n")._routes.namespaces == ("/n",)
