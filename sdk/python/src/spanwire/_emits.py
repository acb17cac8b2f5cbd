# SPDX-License-Identifier: Apache-2.0
"""What services and emitters have in common: emits, and targets to begin with."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Any, Generic, TypeVar

from ._payloads import Codec
from ._target import Target, To
from ._words import Acks, Sockets, Space

__all__ = ["Emits"]

_R = TypeVar("_R")


class Emits(ABC, Generic[_R]):
    """Emits, from any thread."""

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
    ) -> _R:
        """Sends an event. The arguments are serialised before it returns.

        An `Emitter` returns when local sockets have been served and the other replicas have been told. A `Service` does not wait.

        Args:
            event: The event's name.
            *args: The arguments; a lone tuple means several.
            to: A room or socket id, several, a `Target`, or None for the whole namespace.
            except_: Rooms and socket ids to leave out.
            namespace: The namespace, or a compiled pattern for every one that it matches. None means "/", or what an `Emitter`
                was given.
            volatile: Allows the event to be dropped for browsers that cannot take it right now.
            compress: Whether the event may be compressed.
            callback: Called once with the acks, when all have come or the broker's setting `ack-timeout` has passed. Not for an
                `Emitter`.

        Returns:
            From an `Emitter`, how many sockets were reached on the replica that took the call.

        Raises:
            TypeError: An argument cannot be sent.
            BrokerUnavailableError: The broker cannot be reached; by a `Service`, not within its emit timeout.
            QueueFullError: The broker does not take what a `Service` emits.
            CommandError: The broker refused the emit of an `Emitter`.
        """
        space = self._namespace if namespace is None else namespace
        if callback is None:
            return self._emit(event, args, to, except_, space, volatile=volatile, compress=compress)
        return self._emit_for_acks(event, args, to, except_, space, callback, volatile=volatile, compress=compress)

    def send(self, *args: Any, to: To = None, namespace: Space | None = None) -> _R:
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
        """Sends an event and gathers the acks. Not for coroutines, whose loop it would stop.

        Args:
            event: The event's name.
            *args: The arguments; a lone tuple means several.
            to: A room or socket id, several, a `Target`, or None for the whole namespace.
            except_: Rooms and socket ids to leave out.
            namespace: The namespace, as for `emit`.
            timeout: How long to gather, in seconds. None means that of the target, or else the broker's setting `ack-timeout`;
                for an `Emitter` 10 s.

        Returns:
            The acks that came in time, and how many did not.

        Raises:
            TypeError: An argument cannot be sent.
            BrokerUnavailableError: The broker cannot be reached, or the stream broke meanwhile.
            CommandError: The broker refused the emit.
        """
        return self._gather(event, args, to, except_, self._namespace if namespace is None else namespace, timeout)

    # Targets.

    def of(self, namespace: Space) -> Target:
        """Chooses every socket of a namespace.

        Args:
            namespace: The namespace, or a compiled pattern for every one that it matches.

        Returns:
            The target.
        """
        return Target(namespace=namespace, _via=self)

    def to(self, rooms: str | Iterable[str]) -> Target:
        """Chooses the sockets of rooms; see `Target.to`."""
        return self.of(self._namespace).to(rooms)

    def in_(self, rooms: str | Iterable[str]) -> Target:
        """Does what `to` does."""
        return self.to(rooms)

    def except_(self, rooms: str | Iterable[str]) -> Target:
        """Chooses the sockets that are in none of the rooms; see `Target.except_`."""
        return self.of(self._namespace).except_(rooms)

    def local(self) -> Target:
        """Chooses the sockets of the replica that takes the call; see `Target.local`."""
        return self.of(self._namespace).local()

    def volatile(self) -> Target:
        """Chooses every socket, for events that may be dropped; see `Target.volatile`."""
        return self.of(self._namespace).volatile()

    def compress(self, compress: bool = True) -> Target:
        """Chooses every socket, for events that may or may not be compressed; see `Target.compress`."""
        return self.of(self._namespace).compress(compress)

    def timeout(self, seconds: float) -> Target:
        """Chooses every socket, with a bound for the wait for acks and answers; see `Target.timeout`."""
        return self.of(self._namespace).timeout(seconds)

    # What each does its own way.

    @abstractmethod
    def _emit(
        self,
        event: str,
        args: tuple[Any, ...],
        to: To,
        except_: str | Iterable[str] | None,
        namespace: Space,
        *,
        volatile: bool = False,
        compress: bool = True,
        link: Any = None,
    ) -> _R: ...

    @abstractmethod
    def _gather(
        self,
        event: str,
        args: tuple[Any, ...],
        to: To,
        except_: str | Iterable[str] | None,
        namespace: Space,
        timeout: float | None,
        *,
        link: Any = None,
    ) -> Acks: ...

    @abstractmethod
    def _emit_for_acks(
        self,
        event: str,
        args: tuple[Any, ...],
        to: To,
        except_: str | Iterable[str] | None,
        namespace: Space,
        callback: Callable[[Acks], Any],
        *,
        volatile: bool = False,
        compress: bool = True,
    ) -> _R: ...

    @abstractmethod
    def _fetch(self, target: Target, limit: int, *, link: Any = None) -> Sockets: ...

    @abstractmethod
    def _move(self, verb: str, rooms: tuple[str, ...], to: To, namespace: Space, *, link: Any = None) -> Any: ...

    @abstractmethod
    def _disconnect(self, to: To, namespace: Space, *, close_session: bool = False, link: Any = None) -> Any: ...
