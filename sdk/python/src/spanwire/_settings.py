# SPDX-License-Identifier: Apache-2.0
"""The settings of the SDK: addresses and credentials. The only reader of the environment."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import grpc

from ._checks import check_name

__all__ = ["DEFAULT_ADDRESS", "Settings", "Token"]

DEFAULT_ADDRESS = "127.0.0.1:50051"

# The token itself; a function that returns it, called for each call; or the path of a file that is
# read for each call.
Token = str | Callable[[], str] | os.PathLike[str]


@dataclass(frozen=True)
class Settings:
    """The settings, from the environment and from parameters.

    Attributes:
        addresses: The brokers' addresses for services (`SPANWIRE_ADDRESS`, with commas between
            several).
        explicit: Whether the environment or the caller named an address.
        token: The token for the brokers' service listener (`SPANWIRE_TOKEN`).
        tls: Whether to use TLS (`SPANWIRE_TLS`, implied by the next attribute).
        tls_ca: A file with the certificates to trust (`SPANWIRE_TLS_CA`); the system's when empty.
        tls_cert: A file with the client certificate and its intermediate certificates.
        tls_key: A file with the key of the client certificate.
        app_address: The address at which `broker dev` expects the application
            (`SPANWIRE_APP_ADDRESS`).
        broker: The broker program to start (`SPANWIRE_BROKER`).
        retire: Whether a service retires when its last instance stops (`SPANWIRE_RETIRE`).
    """

    addresses: tuple[str, ...] = (DEFAULT_ADDRESS,)
    explicit: bool = False
    token: Token = field(default="", repr=False)
    tls: bool = False
    tls_ca: str = ""
    tls_cert: str = ""
    tls_key: str = ""
    app_address: str = ""
    broker: str = ""
    retire: bool = False

    @classmethod
    def read(
        cls,
        address: str | None = None,
        environ: Mapping[str, str] | None = None,
        *,
        token: Token | None = None,
        tls_ca: str | None = None,
        tls_cert: str = "",
        tls_key: str = "",
    ) -> Settings:
        """Reads the environment.

        Args:
            address: Overrides `SPANWIRE_ADDRESS`.
            environ: Replaces the environment of the process.
            token: Overrides `SPANWIRE_TOKEN`.
            tls_ca: Overrides `SPANWIRE_TLS_CA`.
            tls_cert: The file with the client certificate.
            tls_key: The file with its key.

        Returns:
            The settings.

        Raises:
            ValueError: A certificate is given without its key, or a key without its certificate.
        """
        env = os.environ if environ is None else environ
        if address is not None:
            check_name(address, "address", "pass 'host:port', or several with commas between")
        named = address or env.get("SPANWIRE_ADDRESS", "")
        addresses = tuple(part.strip() for part in named.split(",") if part.strip())
        ca = tls_ca or env.get("SPANWIRE_TLS_CA", "")
        if token is not None and not (callable(token) or isinstance(token, (str, os.PathLike))):
            raise TypeError(f"token: got {type(token).__name__} (pass a string, a function that returns one, or a path)")
        if bool(tls_cert) != bool(tls_key):
            raise ValueError("TLS: a certificate needs its key, and a key its certificate (set both tls_cert and tls_key)")
        return cls(
            addresses=addresses or (DEFAULT_ADDRESS,),
            explicit=bool(addresses),
            token=env.get("SPANWIRE_TOKEN", "") if token is None else token,
            tls=bool(ca or tls_cert) or _on(env.get("SPANWIRE_TLS", "")),
            tls_ca=ca,
            tls_cert=tls_cert,
            tls_key=tls_key,
            app_address=env.get("SPANWIRE_APP_ADDRESS", ""),
            broker=env.get("SPANWIRE_BROKER", ""),
            retire=_on(env.get("SPANWIRE_RETIRE", "")),
        )

    def channel(self, address: str) -> grpc.Channel:
        """Opens a channel. The files of certificates are read each time.

        Args:
            address: The address.

        Returns:
            The channel; it connects on first use.
        """
        options = [
            # The broker limits its frames, and its welcome has the limit.
            ("grpc.max_receive_message_length", -1),
            ("grpc.max_send_message_length", -1),
            # A broker that vanishes silently is noticed within a minute or so.
            ("grpc.keepalive_time_ms", 20_000),
            ("grpc.keepalive_timeout_ms", 20_000),
            # Channels to one address would share a connection, and with it the back-off after a
            # failure.
            ("grpc.use_local_subchannel_pool", 1),
        ]
        if not self.tls:
            return grpc.insecure_channel(address, options)
        credentials = grpc.ssl_channel_credentials(_contents(self.tls_ca), _contents(self.tls_key), _contents(self.tls_cert))
        return grpc.secure_channel(address, credentials, options)

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """The metadata of a call that begins now."""
        token = self.token
        if isinstance(token, os.PathLike):
            with open(token, encoding="utf-8") as file:
                token = file.read().strip()
        elif callable(token):
            token = token()
        return (("authorization", f"Bearer {token}"),) if token else ()


def _on(value: str) -> bool:
    return value.lower() in ("1", "true", "yes", "on")


def _contents(path: str) -> bytes | None:
    if not path:
        return None
    with open(path, "rb") as file:
        return file.read()
