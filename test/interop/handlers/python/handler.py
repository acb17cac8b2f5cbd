# SPDX-License-Identifier: Apache-2.0
"""The service of the interoperability suite in Python; main.go is the same in Go.

Its environment:

- SERVICE is the name of the service, "interop" by default.
- ONLY names a namespace: the service handles its connects, its disconnects and the event "small",
  and nothing else. With ADVISORY=1 its connects are advisory, and with REFUSE=1 it refuses them.
- HOLD=1 makes the event "work" hang, so that a kill finds it open.
- APART=NAME makes it another service with that name, which handles no connects: the event NAME
  answers its arguments; "NAME slow" does so after as many milliseconds as its first argument says,
  and so does "NAME beside", which is concurrent.

With arguments it runs no service: `emit ROOM EVENT JSON...` emits once, and `retire SERVICE`
retires one.
"""

import json
import os
import re
import sys
import threading
import time
from typing import Any

import spanwire
from only import only
from surface import dynamic, notified, surface
from unsendable import unsendable

if len(sys.argv) > 3 and sys.argv[1] == "emit":
    with spanwire.Emitter() as emitter:
        emitter.emit(sys.argv[3], *map(json.loads, sys.argv[4:]), to=sys.argv[2] or None)
    sys.exit()

if len(sys.argv) == 3 and sys.argv[1] == "retire":
    with spanwire.Emitter() as emitter:
        sys.stdout.write(f"silent {emitter.retire_service(sys.argv[2])}\n")
    sys.exit()

APART = os.environ.get("APART")
service = spanwire.Service(APART or os.environ.get("SERVICE") or "interop")
# Seconds for clients to answer the server; generous, since machines that run suites are busy.
ANSWER_TIME = 10.0
sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]


def tell() -> None:
    service.wait_attached()
    sys.stdout.write("attached\n")


if APART:

    @service.on(APART)
    def answer(_socket: spanwire.Socket, *args: Any) -> Any:
        return args

    @service.on(f"{APART} slow")
    @service.on(f"{APART} beside", concurrent=True)
    def slow(_socket: spanwire.Socket, milliseconds: int, *args: Any) -> Any:
        time.sleep(milliseconds / 1000)
        return milliseconds, *args

    threading.Thread(target=tell, daemon=True).start()
    service.run()
    sys.exit()

if os.environ.get("ONLY"):
    only(service, os.environ["ONLY"])
    threading.Thread(target=tell, daemon=True).start()
    service.run()
    sys.exit()


@service.on_connect
def connect(socket: spanwire.Socket, auth: Any) -> None:
    auth = auth or {}
    if auth.get("refuse"):
        raise spanwire.ConnectionRefusedError(auth["refuse"], *([auth["data"]] if "data" in auth else []))
    socket.join(auth.get("rooms", []))
    for size in auth.get("large", []):
        socket.emit("hello", "x" * size)
    for hello in auth.get("hello", []):
        socket.emit("hello", hello)


@service.on_disconnect
def disconnect(socket: spanwire.Socket, reason: str) -> None:
    service.emit("left", socket.id, reason, to="watchers")


@service.on("echo")
@service.on("echo", namespace="/custom")
def echo(_socket: spanwire.Socket, *args: Any) -> Any:
    return args


@service.on("reflect")
def reflect(socket: spanwire.Socket, *args: Any) -> None:
    socket.emit("reflected", *args)


@service.on("ask")
def ask(socket: spanwire.Socket, *args: Any) -> Any:
    return tuple(socket.emit_with_ack("question", *args, timeout=ANSWER_TIME))


@service.on("message")
def message(socket: spanwire.Socket, *args: Any) -> None:
    socket.send(*args)


@service.on("fail")
def fail(_socket: spanwire.Socket, *_args: Any) -> None:
    raise ValueError("as asked for")


@service.on("")
def empty(socket: spanwire.Socket, *args: Any) -> Any:
    """An empty name is a name like any other."""
    socket.emit("", *args)
    return args


@service.on("try join")
def try_join(socket: spanwire.Socket, room: str) -> str:
    try:
        socket.join(room)
    except spanwire.CommandError as error:
        return str(error)
    return "joined"


@service.on("burst")
def burst(socket: spanwire.Socket, count: int, *more: Any) -> None:
    for i in range(count):
        socket.emit("burst", i, *more)


@service.on("burst to")
def burst_to(_socket: spanwire.Socket, room: str, count: int, *more: Any) -> None:
    for i in range(count):
        service.emit("burst", i, *more, to=room)


@service.on("handshake")
@service.on("handshake", namespace="/custom")
def handshake(socket: spanwire.Socket) -> Any:
    h = socket.handshake
    headers: dict[str, list[str]] = {}
    for name, value in h.headers:
        headers.setdefault(name, []).append(value)
    return {
        "id": socket.id,
        "url": h.url,
        "transport": h.transport,
        "address": h.address,
        "auth": h.auth,
        "query": h.query,
        "headers": headers,
    }


@service.on("join")
def join(socket: spanwire.Socket, room: str) -> None:
    socket.join(room)


@service.on("leave")
def leave(socket: spanwire.Socket, room: str) -> None:
    socket.leave(room)


@service.on("broadcast")
def broadcast(socket: spanwire.Socket, b: dict[str, Any]) -> None:
    except_ = [*b.get("except", []), *([socket.id] if b.get("others") else [])]
    service.emit(
        b["event"], *b.get("args", []), to=b.get("to") or None, except_=except_, volatile=b.get("volatile", False)
    )


@service.on("poll")
def poll(_socket: spanwire.Socket, room: str, limit: float = ANSWER_TIME * 1000) -> Any:
    """Emits to a room, and returns the acks of the given milliseconds."""
    acks = service.emit_with_ack("question", "all", to=room, timeout=limit / 1000)
    return {"answers": [ack.args for ack in acks.acks], "missing": acks.missing}


@service.on("kick")
def kick(socket: spanwire.Socket, session: bool) -> None:
    socket.disconnect(close_session=session)


@service.on("kick other")
def kick_other(_socket: spanwire.Socket, room: str) -> None:
    service.disconnect(to=room)


@service.on("work")
def work(_socket: spanwire.Socket, key: int) -> Any:
    sys.stdout.write(f"work {key}\n")  # at once, since threads write at the same time
    if os.environ.get("HOLD"):
        time.sleep(600)
    return key, os.getpid()


@service.on_connect(namespace="/admin")
def admin_connect(_socket: spanwire.Socket, auth: Any) -> None:
    if not (auth or {}).get("admin"):
        raise spanwire.ConnectionRefusedError("admins only")


@service.on("echo", namespace="/admin")
def admin_echo(_socket: spanwire.Socket, *args: Any) -> Any:
    return args


@service.on("shout", namespace="/admin")
def admin_shout(_socket: spanwire.Socket, text: str) -> None:
    service.emit("shouted", text, namespace="/admin")


# A namespace whose auth is of texts alone, so that clients which can only send a query say all that
# they have to.
@service.on_connect(namespace="/custom")
def custom_connect(_socket: spanwire.Socket, auth: Any) -> None:
    auth = auth or {}
    if auth.get("refuse"):
        raise spanwire.ConnectionRefusedError(auth["refuse"], *([{"code": auth["code"]}] if "code" in auth else []))


surface(service)
unsendable(service)
dynamic(service, re.compile(r"/room-\d+"))
notified(service, "/rooms")
threading.Thread(target=tell, daemon=True).start()
service.run()
