# SPDX-License-Identifier: Apache-2.0
"""Where the broker is, and how to be let in. The only reader of the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

import grpc

__all__ = ["DEFAULT_ADDRESS", "Settings"]

DEFAULT_ADDRESS = "127.0.0.1:50051"


@dataclass(frozen=True)
class Settings:
    """What the environment says.

    Attributes:
        addresses: Where brokers' service doors are (`SPANWIRE_ADDRESS`, several with commas between).
        explicit: Whether the environment or the caller named an address.
        token: The secret for the services' door (`SPANWIRE_TOKEN`).
        tls: Whether to use TLS (`SPANWIRE_TLS`, implied by the next).
        tls_ca: A file with the certificates to trust (`SPANWIRE_TLS_CA`); the system's when empty.
        app_address: Where `broker dev` expects the web app to listen (`SPANWIRE_APP_ADDRESS`).
        broker: The broker program to start (`SPANWIRE_BROKER`).
    """

    addresses: tuple[str, ...] = (DEFAULT_ADDRESS,)
    explicit: bool = False
    token: str = field(default="", repr=False)
    tls: bool = False
    tls_ca: str = ""
    app_address: str = ""
    broker: str = ""

    @classmethod
    def read(cls, address: str | None = None, environ: Mapping[str, str] | None = None) -> Settings:
        """Reads the environment.

        Args:
            address: Takes the place of `SPANWIRE_ADDRESS`.
            environ: Takes the place of the process's environment.

        Returns:
            The settings.
        """
        env = os.environ if environ is None else environ
        named = address or env.get("SPANWIRE_ADDRESS", "")
        addresses = tuple(part.strip() for part in named.split(",") if part.strip())
        ca = env.get("SPANWIRE_TLS_CA", "")
        return cls(
            addresses=addresses or (DEFAULT_ADDRESS,),
            explicit=bool(addresses),
            token=env.get("SPANWIRE_TOKEN", ""),
            tls=bool(ca) or env.get("SPANWIRE_TLS", "").lower() in ("1", "true", "yes", "on"),
            tls_ca=ca,
            app_address=env.get("SPANWIRE_APP_ADDRESS", ""),
            broker=env.get("SPANWIRE_BROKER", ""),
        )

    def channel(self, address: str) -> grpc.Channel:
        """Opens a channel.

        Args:
            address: Where to.

        Returns:
            The channel; it connects on first use.
        """
        options = [
            # The broker bounds its frames and says so in its welcome.
            ("grpc.max_receive_message_length", -1),
            ("grpc.max_send_message_length", -1),
            # A broker that is gone without a word is noticed within a minute or so.
            ("grpc.keepalive_time_ms", 20_000),
            ("grpc.keepalive_timeout_ms", 20_000),
            # Channels to one address would share a connection, and with it the back-off after a failure.
            ("grpc.use_local_subchannel_pool", 1),
        ]
        if not self.tls:
            return grpc.insecure_channel(address, options)
        roots = None
        if self.tls_ca:
            with open(self.tls_ca, "rb") as file:
                roots = file.read()
        return grpc.secure_channel(address, grpc.ssl_channel_credentials(roots), options)

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What goes with each call."""
        return (("authorization", f"Bearer {self.token}"),) if self.token else ()
