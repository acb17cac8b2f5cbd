# SPDX-License-Identifier: Apache-2.0
"""What a service can ask of the broker: the verbs, and the waits for their answers."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from . import _commands
from ._link import Link
from ._payloads import Codec
from ._proto import command_pb2, handler_pb2
from ._records import SocketState
from ._waiters import CallbackWaiter, FutureWaiter
from ._words import Acks, names
from .exceptions import AckTimeoutError, BrokerUnavailableError

__all__ = ["Emits", "on_loop"]


def on_loop() -> bool:
    """Says whether the calling thread runs an event loop right now, which must not be made to wait."""
    return asyncio._get_running_loop() is not None


class Emits(ABC):
    """The verbs of a service."""

    _codec: Codec

    @abstractmethod
    def _ready_link(self) -> Link:
        """The link, once it has been attached."""

    def emit(
        self,
        event: str,
        *args: Any,
        to: _commands.Rooms = None,
        except_: str | Iterable[str] | None = None,
        namespace: str = "/",
        volatile: bool = False,
        compress: bool = True,
    ) -> None:
        """Sends an event, from any thread. The arguments are serialised before it returns.

        Args:
            event: The event's name.
            *args: The arguments; a lone tuple means several.
            to: A room or socket id, several, a `Target`, or None for the whole namespace.
            except_: Rooms and socket ids to leave out.
            namespace: The namespace.
            volatile: Allows the event to be dropped for browsers that cannot take it right now.
            compress: Whether the event may be compressed.

        Raises:
            TypeError: An argument cannot be sent.
            BrokerUnavailableError: The service is not attached yet, and was not within the emit timeout.
            QueueFullError: The broker does not take what is emitted.
        """
        self._emit(event, args, to, except_, namespace, volatile=volatile, compress=compress)

    def send(self, *args: Any, to: _commands.Rooms = None, namespace: str = "/") -> None:
        """Sends the event `message`.

        Args:
            *args: The arguments.
            to: A room or socket id, several, a `Target`, or None for the whole namespace.
            namespace: The namespace.
        """
        self._emit("message", args, to, None, namespace)

    def emit_with_ack(
        self,
        event: str,
        *args: Any,
        to: _commands.Rooms = None,
        except_: str | Iterable[str] | None = None,
        namespace: str = "/",
        timeout: float | None = None,
    ) -> Acks:
        """Sends an event and gathers the acks. Not for coroutines, whose loop it would stop.

        Args:
            event: The event's name.
            *args: The arguments; a lone tuple means several.
            to: A room or socket id, several, a `Target`, or None for the whole namespace.
            except_: Rooms and socket ids to leave out.
            namespace: The namespace.
            timeout: How long to gather, in seconds; None means the broker's default.

        Returns:
            The acks that came in time, and how many did not.

        Raises:
            TypeError: An argument cannot be sent.
            BrokerUnavailableError: The stream broke meanwhile.
            CommandError: The broker refused the emit.
        """
        action = handler_pb2.Action()
        if not _commands.fill_emit(action.command.emit, self._codec, event, args, to, except_, namespace):
            return Acks(sockets=0, acks=[], missing=0)
        return _commands.acks(self._codec, self._ask(action, timeout))

    def join(self, rooms: str | Iterable[str], *, to: _commands.Rooms, namespace: str = "/") -> None:
        """Adds every socket of a target to rooms.

        Args:
            rooms: One room or several.
            to: A room or socket id, several, or a `Target`.
            namespace: The namespace.
        """
        self._rooms("join", names(rooms), to, namespace)

    def leave(self, rooms: str | Iterable[str], *, to: _commands.Rooms, namespace: str = "/") -> None:
        """Takes every socket of a target out of rooms.

        Args:
            rooms: One room or several.
            to: A room or socket id, several, or a `Target`.
            namespace: The namespace.
        """
        self._rooms("leave", names(rooms), to, namespace)

    def disconnect(self, *, to: _commands.Rooms, namespace: str = "/", close_session: bool = False) -> None:
        """Ends every socket of a target; their browsers do not reconnect by themselves.

        Args:
            to: A room or socket id, several, or a `Target`.
            namespace: The namespace.
            close_session: Closes the whole session under each socket too.
        """
        self._disconnect(to, namespace, close_session=close_session)

    def _emit(
        self,
        event: str,
        args: Sequence[Any],
        to: _commands.Rooms,
        except_: str | Iterable[str] | None,
        namespace: str,
        *,
        volatile: bool = False,
        compress: bool = True,
        link: Link | None = None,
    ) -> None:
        action = handler_pb2.Action()
        message = action.command.emit
        if not _commands.fill_emit(message, self._codec, event, args, to, except_, namespace):
            return
        if volatile:
            message.volatile = True
        if not compress:
            message.no_compress = True
        self._execute(action, link)

    def _emit_with_callback(
        self,
        event: str,
        args: Sequence[Any],
        to: _commands.Rooms,
        except_: str | Iterable[str] | None,
        namespace: str,
        callback: Callable[..., Any],
        origin: SocketState | None = None,
    ) -> None:
        """Emits; the callback is run with each ack that comes, in turn with the events of the origin."""
        action = handler_pb2.Action()
        command = action.command
        if not _commands.fill_emit(command.emit, self._codec, event, args, to, except_, namespace):
            return
        link = self._ready_link()
        command.emit.want_acks = True
        command.id = link.next_command()
        waiter = CallbackWaiter(link.conversation, self._codec, callback, namespace, origin)
        link.command(action, waiter, may_block=not on_loop())

    def _call(
        self, event: str, args: Sequence[Any], to: str, namespace: str, timeout: float, *, link: Link | None = None
    ) -> list[Any]:
        action = handler_pb2.Action()
        _commands.fill_emit(action.command.emit, self._codec, event, args, to, None, namespace)
        answer = self._ask(action, timeout, link)
        if not answer.acks:
            raise AckTimeoutError(f"{event!r} was not answered by {to!r} within {timeout:g} s", event=event)
        ack = answer.acks[0].ack
        return self._codec.decode(ack.args, ack.attachments)

    def _ask(self, action: handler_pb2.Action, timeout: float | None, link: Link | None = None) -> command_pb2.Answer:
        if on_loop():
            raise RuntimeError("waiting for acks would stop the event loop; use asyncio.to_thread")
        link = link or self._ready_link()
        command = action.command
        command.emit.want_acks = True
        command.emit.ack_timeout_ms = 0 if timeout is None else max(1, round(timeout * 1000))
        command.id = link.next_command()
        waiter = FutureWaiter()
        link.command(action, waiter)
        link.crew.about_to_block()
        link.flush()
        # The broker bounds the wait; the margin is for the way there and back.
        if not waiter.event.wait(None if timeout is None else timeout + 5):
            link.conversation.withdraw(command.id)
            raise BrokerUnavailableError("the broker did not answer a command in time")
        if waiter.answer is None:
            raise BrokerUnavailableError("the stream to the broker broke before the answer came")
        _commands.check(waiter.answer)
        return waiter.answer

    def _rooms(self, verb: str, rooms: tuple[str, ...], to: _commands.Rooms, namespace: str, *, link: Link | None = None) -> None:
        action = handler_pb2.Action()
        message = action.command.join if verb == "join" else action.command.leave
        if rooms and _commands.fill_target(message.target, to, None, namespace):
            message.rooms.extend(rooms)
            self._execute(action, link)

    def _disconnect(self, to: _commands.Rooms, namespace: str, *, close_session: bool = False, link: Link | None = None) -> None:
        action = handler_pb2.Action()
        message = action.command.disconnect
        if _commands.fill_target(message.target, to, None, namespace):
            message.close_session = close_session
            self._execute(action, link)

    def _execute(self, action: handler_pb2.Action, link: Link | None) -> None:
        (link or self._ready_link()).command(action, may_block=not on_loop())
