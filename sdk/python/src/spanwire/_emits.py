# SPDX-License-Identifier: Apache-2.0
"""Emits, and the beginning of targets: the methods that services and emitters share."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from ._checks import Space, check_seconds
from ._payloads import Codec
from ._target import Chooser, Executor, Target, To, emit_flags, make_target
from ._values import Acks

__all__ = ["Emits"]

_R_co = TypeVar("_R_co", covariant=True)


class Emits(Chooser, Executor[_R_co]):
    """Sends events, from any thread."""

    _codec: Codec
    _namespace: Space = "/"

    def emit(
        self,
        event: str,
        *args: Any,
        to: To = None,
        except_: str | Iterable[str] | None = None,
        namespace: Space | None = None,
        volatile: bool = False,
        compress: bool = True,
        callback: Callable[[Acks], Any] | None = None,
    ) -> _R_co:
        """Sends an event. The arguments are serialised before the method returns.

        An `Emitter` returns when local sockets have been served and the event was published to the
        other replicas. A `Service` does not wait.

        Args:
            event: The event's name.
            *args: The arguments; a lone tuple means several.
            to: A room or socket id, several, a `Target`, or None for the whole namespace.
            except_: Rooms and socket ids to exclude.
            namespace: The namespace, or a compiled pattern for each namespace that it matches. None
                means "/", or the namespace of the `Emitter`.
            volatile: Whether the event may be dropped for browsers that cannot take it at once.
            compress: Whether the event may be compressed.
            callback: Called once with the acks, when all have arrived or the broker's setting
                `ack-timeout` has passed. Not for an `Emitter`.

        Returns:
            From an `Emitter`, how many sockets were reached on the replica that took the call.

        Raises:
            TypeError: An argument cannot be sent, or a parameter is of the wrong type.
            ValueError: The event's name is reserved, or the namespace is not valid.
            BrokerUnavailableError: The broker cannot be reached; for a `Service`, within its emit
                timeout.
            QueueFullError: The broker does not take what a `Service` emits.
            CommandError: The broker rejected the emit of an `Emitter`.
        """
        space = self._namespace if namespace is None else namespace
        target = make_target(to, except_, space) if isinstance(to, Target) else Target(to, except_, space)
        flags = emit_flags(volatile, compress)
        if callback is None:
            return self._emit(event, args, target, flags)
        return self._emit_for_acks(event, args, target, callback, flags)

    def send(self, *args: Any, to: To = None, namespace: Space | None = None) -> _R_co:
        """Sends the event `message`.

        Args:
            *args: The arguments.
            to: A room or socket id, several, a `Target`, or None for the whole namespace.
            namespace: The namespace, as for `emit`.

        Returns:
            As for `emit`.
        """
        return self.emit("message", *args, to=to, namespace=namespace)

    def emit_with_ack(
        self,
        event: str,
        *args: Any,
        to: To = None,
        except_: str | Iterable[str] | None = None,
        namespace: Space | None = None,
        timeout: float | None = None,
    ) -> Acks:
        """Sends an event and collects the acks.

        The method blocks and cannot be cancelled, so it refuses to run on an event loop: use
        `asyncio.to_thread` there.

        Args:
            event: The event's name.
            *args: The arguments; a lone tuple means several.
            to: A room or socket id, several, a `Target`, or None for the whole namespace.
            except_: Rooms and socket ids to exclude.
            namespace: The namespace, as for `emit`.
            timeout: How long to collect, in seconds. None means the timeout of the target, or else
                the broker's setting `ack-timeout`; for an `Emitter` 10 s.

        Returns:
            The acks that arrived in time, and how many did not.

        Raises:
            TypeError: An argument cannot be sent, or a parameter is of the wrong type.
            BrokerUnavailableError: The broker cannot be reached, or the stream broke before the
                answer arrived.
            CommandError: The broker rejected the emit.
        """
        return self._gather(event, args, self._target_for_acks(to, except_, namespace, timeout))

    def of(self, namespace: Space) -> Target:
        """Chooses every socket of a namespace.

        Args:
            namespace: The namespace, or a compiled pattern for each namespace that it matches.

        Returns:
            The target.
        """
        return Target(namespace=namespace, _executor=self)

    def _chosen(self) -> Target:
        return self.of(self._namespace)

    def _target_for_acks(
        self, to: To, except_: str | Iterable[str] | None, namespace: Space | None, timeout: float | None
    ) -> Target:
        target = make_target(to, except_, self._namespace if namespace is None else namespace)
        return target if timeout is None else target._with("_timeout", check_seconds(timeout))
