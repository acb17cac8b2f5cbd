# SPDX-License-Identifier: Apache-2.0
"""The options of Flask-SocketIO: which mean something here, and which are the broker's business now."""

from __future__ import annotations

import logging
from typing import Any

__all__ = ["SERVICE_OPTIONS", "warn_without_effect"]

log = logging.getLogger("spanwire")

SERVICE_OPTIONS = (
    "address",
    "workers",
    "window",
    "at_most_once",
    "one_replica",
    "drain_timeout",
    "retire",
    "emit_timeout",
    "max_queue_bytes",
    "token",
    "tls_ca",
    "tls_cert",
    "tls_key",
)

# Options with a setting of the broker in their place.
_BROKER = {
    "allow_upgrades": "allow-upgrades",
    "async_handlers": "",
    "cors_allowed_origins": "allowed-origins",
    "cors_credentials": "",
    "http_compression": "",
    "max_http_buffer_size": "max-payload",
    "path": "path",
    "ping_interval": "ping-interval",
    "ping_timeout": "ping-timeout",
    "resource": "path",
    "transports": "transports",
}

# Options of machinery that is not there any more.
_GONE = {
    "always_connect": "connects are answered when the handler has decided",
    "async_mode": "handlers run on threads, and nothing is patched",
    "channel": "emits go to the broker",
    "client_manager": "emits go to the broker",
    "compression_threshold": "the broker compresses",
    "cookie": "no cookie is needed",
    "engineio_logger": "the broker logs the engine",
    "json": "",
    "logger": "use logging.getLogger('spanwire')",
    "message_queue": "emits go to the broker, from any process",
    "monitor_clients": "the broker watches its clients",
    "serializer": "the broker speaks the default protocol",
    "write_only": "emits go to the broker",
}


def warn_without_effect(options: dict[str, Any]) -> None:
    """Says once for each option that it changes nothing here; never fails.

    Args:
        options: The options that are left after those that mean something.
    """
    for name, value in sorted(options.items()):
        if _BROKER.get(name):
            log.warning("SocketIO(%s=%r) has no effect here: the broker has the setting %r", name, value, _BROKER[name])
        elif _GONE.get(name):
            log.warning("SocketIO(%s=%r) has no effect here: %s", name, value, _GONE[name])
        else:
            log.warning("SocketIO(%s=%r) has no effect here", name, value)
