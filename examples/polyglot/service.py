# SPDX-License-Identifier: Apache-2.0
"""The Python half: it handles `my event`. The Go half beside it handles `my broadcast event`."""

from spanwire import Service

service = Service("poly-python")


@service.on_connect
def connect(socket, auth):
    socket.emit("my response", {"data": "Connected"})


@service.on("my event")
def my_event(socket, message):
    socket.emit("my response", {"data": "python: " + message["data"].upper(), "kind": "echo"})


if __name__ == "__main__":
    service.run()
