# SPDX-License-Identifier: Apache-2.0
"""The options of Flask-SocketIO: those with an effect here, and those that the broker has now."""

from __future__ import annotations

from typing import Any

from .. import _log

__all__ = ["SERVICE_OPTIONS", "warn_without_effect"]

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

# Options with a setting of the broker instead.
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

# Options without an effect, with the reason.
_REMOVED = {
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
    """Logs a warning for each option without an effect. Never raises.

    Args:
        options: The options without an effect.
    """
    for name, value in sorted(options.items()):
        setting = _BROKER.get(name)
        reason = f"set the broker's {setting} instead" if setting else _REMOVED.get(name) or "unknown option"
        _log.warning("option of SocketIO has no effect", setting=name, value=repr(value), reason=reason)
