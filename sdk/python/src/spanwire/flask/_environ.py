# SPDX-License-Identifier: Apache-2.0
"""The WSGI environ of a handshake, for Flask's request in handlers."""

from __future__ import annotations

import io
import sys
from typing import Any
from urllib.parse import unquote_to_bytes

from .._values import Handshake

__all__ = ["handshake_to_environ"]


def handshake_to_environ(handshake: Handshake) -> dict[str, Any]:
    """Builds the environ.

    Args:
        handshake: The handshake of the browser.

    Returns:
        The environ, as a WSGI server makes it for the request that opened the session.
    """
    scheme = "https" if handshake.secure else "http"
    path = unquote_to_bytes(handshake.path or "/socket.io/").decode("latin-1")
    name, port = _split_host(handshake.host, scheme)
    result: dict[str, Any] = {
        "REQUEST_METHOD": handshake.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": handshake.query_string,
        "REQUEST_URI": handshake.url,
        "RAW_URI": handshake.url,
        "SERVER_NAME": name,
        "SERVER_PORT": port,
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": handshake.address,
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scheme,
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    for header, value in handshake.headers:
        key = header.upper().replace("-", "_")
        if key not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            key = "HTTP_" + key
        if key in result:
            value = result[key] + ("; " if key == "HTTP_COOKIE" else ",") + value
        result[key] = value
    if handshake.host:
        result["HTTP_HOST"] = handshake.host
    return result


def _split_host(host: str, scheme: str) -> tuple[str, str]:
    default = "443" if scheme == "https" else "80"
    if host.startswith("["):
        name, _, rest = host.partition("]")
        return name + "]", rest.removeprefix(":") or default
    name, _, port = host.partition(":")
    return name or "localhost", port or default
