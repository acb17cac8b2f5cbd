# SPDX-License-Identifier: Apache-2.0
"""The handlers of a small service that records its events."""

import os
import sys

import spanwire


def only(service: spanwire.Service, namespace: str) -> None:
    """Registers the handlers of one namespace."""

    @service.on_connect(namespace=namespace, advisory=bool(os.environ.get("ADVISORY")))
    def connect(socket: spanwire.Socket) -> None:
        sys.stdout.write(f"connect {socket.id}\n")
        if os.environ.get("REFUSE"):
            raise spanwire.ConnectionRefusedError("as asked for")

    @service.on_disconnect(namespace=namespace)
    def disconnect(socket: spanwire.Socket) -> None:
        sys.stdout.write(f"disconnect {socket.id}\n")

    @service.on("small", namespace=namespace)
    def small(socket: spanwire.Socket) -> str:
        sys.stdout.write(f"event {socket.id}\n")
        return "small"
