# SPDX-License-Identifier: Apache-2.0
"""The service that the fault tests kill, stop and cut off; main.go is the same in Go."""

import os
import sys
import threading
import time
from typing import Any

import spanwire

# In milliseconds.
work = float(os.environ.get("WORK", "0s").removesuffix("ms").removesuffix("s")) / 1000
book = os.open(os.environ["LOG"], os.O_APPEND | os.O_CREAT | os.O_WRONLY, 0o600)
service = spanwire.Service(os.environ.get("SERVICE", "faults"))
sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]


if os.environ.get("CONNECTS") != "no":

    @service.on_connect
    def connect(_socket: spanwire.Socket) -> None:
        pass


@service.on(os.environ.get("EVENT", "number"))
def number(socket: spanwire.Socket, client: int, count: int, _padding: str) -> Any:
    event = spanwire.current_event()
    time.sleep(work)
    os.write(book, f"{time.time_ns()} {event.id} {socket.id} {client} {count} {event.redeliveries}\n".encode())
    return count


@service.on("poison")
def poison(_socket: spanwire.Socket, *_args: Any) -> None:
    os._exit(3)


if "GONE" in os.environ:
    gone = os.open(os.environ["GONE"], os.O_APPEND | os.O_CREAT | os.O_WRONLY, 0o600)

    @service.on_disconnect
    def disconnect(socket: spanwire.Socket, reason: str) -> None:
        os.write(gone, f"{socket.id} {reason}\n".encode())


def tell() -> None:
    service.wait_attached()
    print("attached")


threading.Thread(target=tell, daemon=True).start()
service.run()
