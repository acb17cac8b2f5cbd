# SPDX-License-Identifier: Apache-2.0
"""The service of the benchmark in Python: an echo, a broadcast, and an event that hangs."""

import threading
from typing import Any

import spanwire

service = spanwire.Service("bench")


@service.on("echo")
def echo(_socket: spanwire.Socket, data: Any) -> Any:
    return data


@service.on("broadcast")
def broadcast(_socket: spanwire.Socket, data: Any) -> None:
    service.emit("news", data)


@service.on("hang")
def hang(_socket: spanwire.Socket, _data: Any) -> None:
    threading.Event().wait()


def tell() -> None:
    service.wait_attached()
    print("attached", flush=True)


threading.Thread(target=tell, daemon=True).start()
service.run()
