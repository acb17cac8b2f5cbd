# SPDX-License-Identifier: Apache-2.0
"""What a small service handles, which says what it hears of."""

import sys
from typing import Any

import spanwire


def only(service: spanwire.Service, namespace: str) -> None:
    """Registers the handlers of one namespace."""

    @service.on_connect(namespace=namespace)
    def connect(socket: spanwire.Socket, auth: Any) -> None:
        sys.stdout.write(f"connect {socket.id}\n")
        if (auth or {}).get("refuse"):
            raise spanwire.ConnectionRefusedError(auth["refuse"])

    @service.on_disconnect(namespace=namespace)
    def disconnect(socket: spanwire.Socket) -> None:
        sys.stdout.write(f"disconnect {socket.id}\n")

    @service.on("small", namespace=namespace)
    def small(socket: spanwire.Socket) -> str:
        sys.stdout.write(f"event {socket.id}\n")
        return "small"
