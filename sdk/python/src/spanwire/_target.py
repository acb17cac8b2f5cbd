# SPDX-License-Identifier: Apache-2.0
"""The target: which sockets are meant, how they are reached, and what is asked of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol, TypeVar

from ._words import Acks, Sockets, Space, names

__all__ = ["Target", "To", "Via"]

_T = TypeVar("_T", bound="Target")


class Target:
    """Chooses sockets of one namespace. It never changes: each method that narrows or widens it gives another target.

    A service, an emitter and a socket give targets that can be emitted to::

        service.to("a").to("b").except_("c").emit("news", 1)

    One that is made by hand is for the `to` of their methods.

    Args:
        rooms: Rooms; a socket in any of them is chosen, once. Every socket is in the room named by its id. None means
            every socket of the namespace; an empty list means none.
        except_: Rooms (and socket ids) whose sockets are left out.
        namespace: The namespace, with its slash; or a compiled pattern, for every namespace that it matches.
        local: Limits the target to the replica that takes the call.
    """

    __slots__ = ("_compress", "_except", "_link", "_local", "_namespace", "_rooms", "_timeout", "_via", "_volatile")

    def __init__(
        self,
        rooms: str | Iterable[str] | None = None,
        except_: str | Iterable[str] | None = None,
        namespace: Space = "/",
        local: bool = False,
        *,
        _via: Via | None = None,
        _link: Any = None,
    ) -> None:
        self._rooms = None if rooms is None else names(rooms)
        self._except = names(except_)
        self._namespace = namespace
        self._local = local
        self._volatile = False
        self._compress = True
        self._timeout: float | None = None
        self._via = _via
        self._link = _link

    def __repr__(self) -> str:
        return f"Target({self._rooms!r}, except_={self._except!r}, namespace={self._namespace!r}, local={self._local!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Target) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def _key(self) -> tuple[Any, ...]:
        return self._rooms, self._except, self._namespace, self._local, self._volatile, self._compress, self._timeout

    def _with(self: _T, name: str, value: Any) -> _T:
        made = object.__new__(type(self))
        for slot in Target.__slots__:
            setattr(made, slot, getattr(self, slot))
        setattr(made, name, value)
        return made

    # What it is.

    @property
    def rooms(self) -> tuple[str, ...] | None:
        """The rooms; None means the whole namespace."""
        return self._rooms

    @property
    def excepted(self) -> tuple[str, ...]:
        """The rooms and socket ids that are left out."""
        return self._except

    @property
    def namespace(self) -> Space:
        """The namespace, or the pattern."""
        return self._namespace

    # Others like it.

    def to(self, rooms: str | Iterable[str]) -> Target:
        """Chooses the sockets of rooms, beside those of rooms that were named before.

        Args:
            rooms: A room or socket id, or several.

        Returns:
            The target.
        """
        return self._with("_rooms", (*(self._rooms or ()), *names(rooms)))

    def in_(self, rooms: str | Iterable[str]) -> Target:
        """Does what `to` does.

        Args:
            rooms: A room or socket id, or several.

        Returns:
            The target.
        """
        return self.to(rooms)

    def except_(self, rooms: str | Iterable[str]) -> Target:
        """Leaves out the sockets of rooms, beside those that were left out before.

        Args:
            rooms: A room or socket id, or several.

        Returns:
            The target.
        """
        return self._with("_except", (*self._except, *names(rooms)))

    def local(self) -> Target:
        """Limits the target to the replica that takes the call.

        Returns:
            The target.
        """
        return self._with("_local", True)

    def volatile(self) -> Target:
        """Allows events to be dropped for browsers that cannot take them right now.

        Returns:
            The target.
        """
        return self._with("_volatile", True)

    def compress(self, compress: bool = True) -> Target:
        """Says whether events may be compressed; they may unless it is said.

        Args:
            compress: Whether they may.

        Returns:
            The target.
        """
        return self._with("_compress", compress)

    def timeout(self, seconds: float) -> Target:
        """Bounds the wait for acks and answers.

        Args:
            seconds: How long to wait.

        Returns:
            The target.
        """
        return self._with("_timeout", seconds)

    # What is asked of its sockets.

    def emit(self, event: str, *args: Any, callback: Callable[[Acks], Any] | None = None) -> None:
        """Sends an event. The arguments are serialised before it returns.

        Args:
            event: The event's name.
            *args: The arguments; a lone tuple means several.
            callback: Called once with the acks, when all have come or the timeout has passed.

        Raises:
            TypeError: An argument cannot be sent.
        """
        if callback is None:
            self._bound()._emit(event, args, self, None, "/", link=self._link)
        else:
            self._bound()._emit_for_acks(event, args, self, None, "/", callback)

    def send(self, *args: Any) -> None:
        """Sends the event `message`.

        Args:
            *args: The arguments.
        """
        self.emit("message", *args)

    def emit_with_ack(self, event: str, *args: Any) -> Acks:
        """Sends an event and gathers the acks. Not for coroutines, whose loop it would stop.

        Args:
            event: The event's name.
            *args: The arguments; a lone tuple means several.

        Returns:
            The acks that came in time, and how many did not.

        Raises:
            TypeError: An argument cannot be sent.
            BrokerUnavailableError: The stream broke meanwhile.
            CommandError: The broker refused the emit.
        """
        return self._bound()._gather(event, args, self, None, "/", None, link=self._link)

    def fetch_sockets(self, *, limit: int = 0) -> Sockets:
        """Asks which sockets there are, in the whole cluster unless the target is local. Not for coroutines.

        Args:
            limit: How many sockets to be told of; zero means as many as the broker's setting `max-query-results` allows.

        Returns:
            The sockets, in no order, and what is missing.

        Raises:
            ValueError: The target is a pattern of namespaces.
            BrokerUnavailableError: The stream broke meanwhile.
            CommandError: The broker refused the question.
        """
        return self._bound()._fetch(self, limit, link=self._link)

    def sockets_join(self, rooms: str | Iterable[str]) -> None:
        """Adds every socket of the target to rooms.

        Args:
            rooms: One room or several.
        """
        self._bound()._move("join", names(rooms), self, "/", link=self._link)

    def sockets_leave(self, rooms: str | Iterable[str]) -> None:
        """Takes every socket of the target out of rooms.

        Args:
            rooms: One room or several.
        """
        self._bound()._move("leave", names(rooms), self, "/", link=self._link)

    def disconnect_sockets(self, close: bool = False) -> None:
        """Ends every socket of the target; their browsers do not reconnect by themselves.

        Args:
            close: Closes the whole session under each socket too.
        """
        self._bound()._disconnect(self, "/", close_session=close, link=self._link)

    def _bound(self) -> Via:
        if self._via is None:
            raise RuntimeError("this target was made by hand: pass it as to=..., or begin with one of service.to(...)")
        return self._via


To = str | Iterable[str] | Target | None


class Via(Protocol):
    """What carries out what is asked of a target. Implemented by services and emitters."""

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
    ) -> Any: ...

    def _emit_for_acks(
        self,
        event: str,
        args: tuple[Any, ...],
        to: To,
        except_: str | Iterable[str] | None,
        namespace: Space,
        callback: Callable[[Acks], Any],
    ) -> Any: ...

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

    def _fetch(self, target: Target, limit: int, *, link: Any = None) -> Sockets: ...

    def _move(self, verb: str, rooms: tuple[str, ...], to: To, namespace: Space, *, link: Any = None) -> Any: ...

    def _disconnect(self, to: To, namespace: Space, *, close_session: bool = False, link: Any = None) -> Any: ...
