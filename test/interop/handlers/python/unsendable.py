# SPDX-License-Identifier: Apache-2.0
"""Values that cannot be sent; unsendable.go is the same in Go."""

from collections.abc import Callable
from functools import partial
from typing import Any

import spanwire


def unsendable(service: spanwire.Service) -> None:
    """Registers the handlers of the main namespace."""
    circle: dict[str, Any] = {}
    circle["self"] = circle
    values: dict[str, Any] = {"nan": float("nan"), "circle": circle, "function": unsendable, "large": "x" * (8 << 20)}

    @service.on("unsendable calls")
    def calls(socket: spanwire.Socket) -> Any:
        silent = []

        def note(call: str, act: Callable[[], Any]) -> None:
            try:
                act()
            except (TypeError, ValueError, spanwire.CommandError):
                return
            silent.append(call)

        for name, value in values.items():
            note(f"emit {name}", partial(socket.emit, "e", value))
            note(f"broadcast {name}", partial(service.emit, "e", value))
            note(f"emit with ack {name}", partial(socket.emit_with_ack, "e", value))
            note(f"message {name}", partial(service.server_side_emit, "m", value))
            note(f"data {name}", partial(socket.set_data, value))
        note("namespace", lambda: service.emit("e", namespace="chat"))
        return silent

    @service.on("unsendable answer")
    def answer(_socket: spanwire.Socket, name: str) -> Any:
        return values[name]

    # Nested deeper than the broker takes, which only the broker knows.
    @service.on("refused emit")
    def refused(socket: spanwire.Socket) -> None:
        value: Any = 1
        for _ in range(600):
            value = [value]
        socket.emit("too deep", value)
