# SPDX-License-Identifier: Apache-2.0
"""The target: which sockets receive an event or a command, and the flags that an emit carries.

`Target` is the one form in which receivers travel through the private layers. The public methods of
services, emitters and sockets turn their keywords into a target; `_commands.py` writes it into the
contract's messages. A new option of emits is a field of `EmitFlags`, a line of its `to_proto`, a
method of `Chooser`, and a keyword of the public `emit` methods.
"""

from __future__ import annotations

import functools
from abc import abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields, replace
from typing import Any, Protocol, TypeVar

from ._checks import Space, check_seconds, check_space, names
from ._proto import command_pb2
from ._values import Acks, Sockets

__all__ = ["PLAIN", "Chooser", "EmitFlags", "Executor", "Target", "To", "emit_flags", "make_target"]

_T = TypeVar("_T", bound="Target")
_R_co = TypeVar("_R_co", covariant=True)


@dataclass(frozen=True, slots=True)
class EmitFlags:
    """How an event is sent, apart from its receivers.

    Attributes:
        volatile: Whether the event may be dropped for browsers that cannot take it at once.
        compress: Whether the event may be compressed.
    """

    volatile: bool = False
    compress: bool = True

    def to_proto(self, message: command_pb2.Emit) -> None:
        """Writes the flags into the contract's message.

        Args:
            message: The message to fill.
        """
        if self.volatile:
            message.volatile = True
        if not self.compress:
            message.no_compress = True


# Called with all flags in the order of the fields. It keeps one object for each combination.
emit_flags = functools.lru_cache(maxsize=64)(EmitFlags)

PLAIN = emit_flags(*(field.default for field in fields(EmitFlags)))


class Chooser:
    """The methods that begin a target, or derive one target from another."""

    __slots__ = ()

    def _chosen(self) -> Target:
        """Returns the target to begin with."""
        raise NotImplementedError

    def to(self, rooms: str | Iterable[str]) -> Target:
        """Chooses the sockets of rooms, in addition to those of rooms that were chosen before.

        Args:
            rooms: A room or socket id, or several.

        Returns:
            The target.
        """
        chosen = self._chosen()
        return chosen._with("_rooms", (*(chosen._rooms or ()), *names(rooms)))

    def in_(self, rooms: str | Iterable[str]) -> Target:
        """Chooses the sockets of rooms, exactly as `to` does.

        Args:
            rooms: A room or socket id, or several.

        Returns:
            The target.
        """
        return self.to(rooms)

    def except_(self, rooms: str | Iterable[str]) -> Target:
        """Excludes the sockets of rooms, in addition to those that were excluded before.

        Args:
            rooms: A room or socket id, or several.

        Returns:
            The target.
        """
        chosen = self._chosen()
        return chosen._with("_except", (*chosen._except, *names(rooms)))

    def local(self) -> Target:
        """Limits the target to the replica that takes the call.

        Returns:
            The target.
        """
        return self._chosen()._with("_local", True)

    def volatile(self) -> Target:
        """Allows events to be dropped for browsers that cannot take them at once.

        Returns:
            The target.
        """
        chosen = self._chosen()
        return chosen._with("_flags", replace(chosen._flags, volatile=True))

    def compress(self, compress: bool = True) -> Target:
        """Sets whether events may be compressed, which is the default.

        Args:
            compress: Whether they may.

        Returns:
            The target.
        """
        chosen = self._chosen()
        return chosen._with("_flags", replace(chosen._flags, compress=compress))

    def timeout(self, seconds: float) -> Target:
        """Bounds the wait for acks and answers.

        Args:
            seconds: How long to wait, in seconds.

        Returns:
            The target.
        """
        return self._chosen()._with("_timeout", check_seconds(seconds))


class Target(Chooser):
    """Chooses sockets of one namespace. A target never changes: each method returns another one.

    Services, emitters and sockets begin targets, which can emit::

        service.to("a").to("b").except_("c").emit("news", 1)

    Make a target by hand for the parameter `to` of their methods.

    Args:
        rooms: The rooms; a socket in any of them is chosen, once. Every socket is in the room named
            by its id. None means every socket of the namespace; an empty list means none.
        except_: The rooms and socket ids whose sockets are excluded.
        namespace: The namespace, with its slash, or a compiled pattern for each namespace that it
            matches.
        local: Whether the target is limited to the replica that takes the call.
    """

    __slots__ = ("_except", "_executor", "_flags", "_link", "_local", "_namespace", "_rooms", "_timeout")

    def __init__(
        self,
        rooms: str | Iterable[str] | None = None,
        except_: str | Iterable[str] | None = None,
        namespace: Space = "/",
        local: bool = False,
        *,
        _executor: Executor[Any] | None = None,
        _link: Any = None,
    ) -> None:
        # Common types first, since each emit makes a target.
        if rooms is None or type(rooms) is str:
            self._rooms: tuple[str, ...] | None = None if rooms is None else (rooms,)
        else:
            self._rooms = names(rooms)
        if except_ is None:
            self._except: tuple[str, ...] = ()
        else:
            self._except = (except_,) if type(except_) is str else names(except_)
        self._namespace = namespace if type(namespace) is str else check_space(namespace)
        self._local = local
        self._flags = PLAIN
        self._timeout: float | None = None
        self._executor = _executor
        self._link = _link

    def __repr__(self) -> str:
        return f"Target({self._rooms!r}, except_={self._except!r}, namespace={self._namespace!r}, local={self._local!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Target) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def _key(self) -> tuple[Any, ...]:
        return self._rooms, self._except, self._namespace, self._local, self._flags, self._timeout

    def _with(self: _T, name: str, value: Any) -> _T:
        made = object.__new__(type(self))
        for slot in Target.__slots__:
            setattr(made, slot, getattr(self, slot))
        setattr(made, name, value)
        return made

    def _chosen(self) -> Target:
        return self

    # The parts of a target.

    @property
    def rooms(self) -> tuple[str, ...] | None:
        """The rooms; None means the whole namespace."""
        return self._rooms

    @property
    def excepted(self) -> tuple[str, ...]:
        """The rooms and socket ids that are excluded."""
        return self._except

    @property
    def namespace(self) -> Space:
        """The namespace, or the pattern."""
        return self._namespace

    # Commands to the sockets.

    def emit(self, event: str, *args: Any, callback: Callable[[Acks], Any] | None = None) -> None:
        """Sends an event. The arguments are serialised before the method returns.

        Args:
            event: The event's name.
            *args: The arguments; a lone tuple means several.
            callback: Called once with the acks, when all have arrived or the timeout has passed.

        Raises:
            TypeError: An argument cannot be sent, or a parameter is of the wrong type.
        """
        if callback is None:
            self._bound()._emit(event, args, self)
        else:
            self._bound()._emit_for_acks(event, args, self, callback)

    def send(self, *args: Any) -> None:
        """Sends the event `message`.

        Args:
            *args: The arguments.
        """
        self.emit("message", *args)

    def emit_with_ack(self, event: str, *args: Any) -> Acks:
        """Sends an event and collects the acks.

        The method blocks and cannot be cancelled, so it refuses to run on an event loop: use
        `asyncio.to_thread` there.

        Args:
            event: The event's name.
            *args: The arguments; a lone tuple means several.

        Returns:
            The acks that arrived in time, and how many did not.

        Raises:
            TypeError: An argument cannot be sent, or a parameter is of the wrong type.
            BrokerUnavailableError: The stream broke before the answer arrived.
            CommandError: The broker rejected the emit.
        """
        return self._bound()._gather(event, args, self)

    def fetch_sockets(self, *, limit: int = 0) -> Sockets:
        """Lists the sockets of the target, in the whole cluster unless the target is local.

        The method blocks and cannot be cancelled, so it refuses to run on an event loop: use
        `asyncio.to_thread` there.

        Args:
            limit: The highest number of sockets to return; zero means the broker's setting
                `max-query-results`.

        Returns:
            The sockets, in no order, and what is missing.

        Raises:
            ValueError: The target is a pattern of namespaces.
            BrokerUnavailableError: The stream broke before the answer arrived.
            CommandError: The broker rejected the query.
        """
        return self._bound()._fetch(self, limit)

    def sockets_join(self, rooms: str | Iterable[str]) -> None:
        """Adds each socket of the target to rooms.

        Args:
            rooms: One room or several.
        """
        self._bound()._move("join", names(rooms), self)

    def sockets_leave(self, rooms: str | Iterable[str]) -> None:
        """Removes each socket of the target from rooms.

        Args:
            rooms: One room or several.
        """
        self._bound()._move("leave", names(rooms), self)

    def disconnect_sockets(self, close: bool = False) -> None:
        """Disconnects each socket of the target; their browsers do not reconnect by themselves.

        Args:
            close: Whether to close the whole session of each socket too.
        """
        self._bound()._disconnect(self, close_session=close)

    def _bound(self) -> Executor[Any]:
        if self._executor is None:
            raise RuntimeError(
                "target: made by hand, so it cannot emit (pass it as to=..., or begin with service.to(...) or of(...))"
            )
        return self._executor


To = str | Iterable[str] | Target | None


class Executor(Protocol[_R_co]):
    """Carries out commands to a target. Services and emitters implement it."""

    @abstractmethod
    def _emit(self, event: str, args: tuple[Any, ...], target: Target, flags: EmitFlags = PLAIN) -> _R_co: ...

    @abstractmethod
    def _emit_for_acks(
        self,
        event: str,
        args: tuple[Any, ...],
        target: Target,
        callback: Callable[[Acks], Any],
        flags: EmitFlags = PLAIN,
    ) -> _R_co: ...

    @abstractmethod
    def _gather(self, event: str, args: tuple[Any, ...], target: Target) -> Acks: ...

    @abstractmethod
    def _fetch(self, target: Target, limit: int) -> Sockets: ...

    @abstractmethod
    def _move(self, verb: str, rooms: tuple[str, ...], target: Target) -> Any: ...

    @abstractmethod
    def _disconnect(self, target: Target, *, close_session: bool = False) -> Any: ...


def make_target(
    to: To,
    except_: str | Iterable[str] | None,
    namespace: Space,
    link: Any = None,
) -> Target:
    """Makes the target that the keywords of a public method stand for.

    Args:
        to: A room or socket id, several, a target, or None for the whole namespace.
        except_: Rooms and socket ids to exclude.
        namespace: The namespace; a target brings its own.
        link: The link that the command goes over; None means the one of the calling thread.

    Returns:
        The target.

    Raises:
        TypeError: A parameter is of the wrong type.
    """
    if not isinstance(to, Target):
        return Target(to, except_, namespace, _link=link)
    target = to if except_ is None else to.except_(except_)
    return target if target._link is link else target._with("_link", link)
