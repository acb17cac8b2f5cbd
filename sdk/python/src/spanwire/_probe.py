# SPDX-License-Identifier: Apache-2.0
"""What listens at an address where a broker was expected: gRPC names neither a wrong port nor TLS on one side only."""

from __future__ import annotations

import contextlib
import socket
import ssl

__all__ = ["advice"]

_TIMEOUT = 2.0  # seconds, for each of the two connections
# The beginning of a connection of HTTP/2 (RFC 9113): its preface, and settings that change nothing.
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"
_SETTINGS = 4  # the type of the frame that answers it
_HTTP1, _HTTP2, _TLS, _NOBODY = "http1", "http2", "tls", "nobody"


def advice(address: str, *, tls: bool) -> str:
    """Says in a clause what listens at an address and what to do.

    Args:
        address: The host and port that were dialled.
        tls: Whether they were dialled with TLS.

    Returns:
        The clause; empty when nothing can be said.
    """
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or "/" in host:
        return ""  # of another form than host:port, which gRPC resolves
    where = (host.strip("[]"), int(port))
    found = ""
    for ask in (_secured, _plain) if tls else (_plain, _secured):
        try:
            found = ask(where)
        except ConnectionRefusedError:
            found = _NOBODY
        except (OSError, ValueError):
            found = ""
        if found:
            break
    if found == _NOBODY:
        return "nothing answers there"
    if found == _HTTP1:
        return (
            "what listens there speaks HTTP/1: it is the browsers' port (http-address) or another web server;"
            " dial the broker's service-address, which is port 50051 by default"
        )
    if found == _TLS and tls:
        return "TLS failed: is its certificate of an authority in SPANWIRE_TLS_CA, and does it take this program's certificate?"
    if found == _TLS:
        return "what listens there speaks TLS: set SPANWIRE_TLS=true, or SPANWIRE_TLS_CA to its authority's certificate"
    if found == _HTTP2 and tls:
        return "what listens there does not speak TLS: unset SPANWIRE_TLS and SPANWIRE_TLS_CA, or set service-tls-cert"
    return ""


def _plain(where: tuple[str, int]) -> str:
    """Asks without TLS."""
    with socket.create_connection(where, _TIMEOUT) as connection:
        connection.sendall(_PREFACE)
        head = b""
        while len(head) < 5:
            part = connection.recv(5 - len(head))
            if not part:
                break
            head += part
    return _kind(head)


def _kind(head: bytes) -> str:
    # Some refuse a version that they do not know with a page and nothing before it.
    if head.startswith((b"HTTP/", b"<")):
        return _HTTP1
    return _HTTP2 if len(head) > 3 and head[0] == 0 and head[3] == _SETTINGS else ""


def _secured(where: tuple[str, int]) -> str:
    """Asks with TLS. Whether the certificate can be trusted is none of its business: it sends nothing."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2", "http/1.1"])
    with socket.create_connection(where, _TIMEOUT) as connection:
        try:
            with context.wrap_socket(connection, server_hostname=where[0]) as secured:
                # What is read tells nothing; a server that asks for a certificate refuses here, after its own part.
                return _HTTP1 if secured.selected_alpn_protocol() == "http/1.1" else _TLS
        except ssl.SSLError as error:
            with contextlib.suppress(OSError):
                connection.close()
            return _TLS if "ALERT" in (error.reason or "") else ""
