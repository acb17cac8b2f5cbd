# SPDX-License-Identifier: Apache-2.0
"""The Python half: handles `upper` in the namespace /poly. The Go half beside it handles `reverse`."""

from spanwire import Service

service = Service("poly-python")


@service.on("upper", namespace="/poly")
def upper(socket, text):
    socket.emit("served", {"by": "python"})
    return text.upper()


if __name__ == "__main__":
    service.run()
