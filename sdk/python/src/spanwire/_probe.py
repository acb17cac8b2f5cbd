# SPDX-License-Identifier: Apache-2.0
"""The probe: finds what listens at an address where a broker was expected.

gRPC names neither a wrong port nor TLS on one side only.
"""

from __future__ import annotations

import contextlib
import socket
import ssl

__all__ = ["advice"]

_TIMEOUT = 2.0  # seconds, for each of the two connections
# The beginning of an HTTP/2 connection (RFC 9113): its preface, and settings that change nothing.
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"
_SETTINGS = 4  # the type of the frame that answers it
_HTTP1, _HTTP2, _TLS, _NOTHING = "http1", "http2", "tls", "nothing"


def advice(address: str, *, tls: bool) -> str:
    """Returns a clause that says what listens at an address and what to do.

    Args:
        address: The host and port that were dialled.
        tls: Whether they were dialled with TLS.

    Returns:
        The clause; empty when the probe found nothing to say.
    """
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or "/" in host:
        return ""  # a form other than host:port, which gRPC resolves
    where = (host.strip("[]"), int(port))
    found = ""
    for ask in (_secured, _plain) if tls else (_plain, _secured):
        try:
            found = ask(where)
        except ConnectionRefusedError:
            found = _NOTHING
        except (OSError, ValueError):
            found = ""
        if found:
            break
    if found == _NOTHING:
        return f"nothing listens at {address}: start the broker, or set SPANWIRE_ADDRESS to its service-address"
    if found == _HTTP1:
        return (
            f"what listens at {address} speaks HTTP/1: it is the browsers' port (http-address) or another web server;"
            " dial the broker's service-address, which is port 50051 by default"
        )
    if found == _TLS and tls:
        return (
            f"the TLS handshake at {address} failed: check that SPANWIRE_TLS_CA holds the authority of its certificate, and"
            " that it accepts this program's certificate"
        )
    if found == _TLS:
        return (
            f"what listens at {address} speaks TLS: set SPANWIRE_TLS=true, or SPANWIRE_TLS_CA to a file with its"
            " authority's certificate"
        )
    if found == _HTTP2 and tls:
        return (
            f"what listens at {address} does not speak TLS: unset SPANWIRE_TLS and SPANWIRE_TLS_CA, or give the broker"
            " service-tls-cert"
        )
    return ""


def _plain(where: tuple[str, int]) -> str:
    """Probes without TLS."""
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
    # Some servers refuse an unknown version with a page and nothing before it.
    if head.startswith((b"HTTP/", b"<")):
        return _HTTP1
    return _HTTP2 if len(head) > 3 and head[0] == 0 and head[3] == _SETTINGS else ""


def _secured(where: tuple[str, int]) -> str:
    """Probes with TLS. It sends nothing, so it does not check the certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2", "http/1.1"])
    with socket.create_connection(where, _TIMEOUT) as connection:
        try:
            with context.wrap_socket(connection, server_hostname=where[0]) as secured:
                # The data does not matter; a server that wants a certificate refuses at this read.
                return _HTTP1 if secured.selected_alpn_protocol() == "http/1.1" else _TLS
        except ssl.SSLError as error:
            with contextlib.suppress(OSError):
                connection.close()
            return _TLS if "ALERT" in (error.reason or "") else ""
