# SPDX-License-Identifier: Apache-2.0
"""What a service can ask of the broker: the verbs, and the waits for their answers."""

from __future__ import annotations

import asyncio
import logging
from abc import abstractmethod
from collections.abc import Callable, Iterable
from typing import Any

from . import _commands
from ._emits import Emits
from ._link import Link
from ._proto import command_pb2, handler_pb2
from ._records import SocketState
from ._target import Target, To
from ._waiters import AnswerWaiter, CallbackWaiter, FutureWaiter
from ._words import Acks, InstanceAcks, Rooms, Sockets, Space, names
from .exceptions import AckTimeoutError, BrokerUnavailableError

__all__ = ["Verbs", "on_loop"]

log = logging.getLogger("spanwire")


def on_loop() -> bool:
    """Says whether the calling thread runs an event loop right now, which must not be made to wait."""
    return asyncio._get_running_loop() is not None


class Verbs(Emits[None]):
    """The verbs of a service."""

    _outgoing: list[Callable[..., Any]]

    @abstractmethod
    def _ready_link(self) -> Link:
        """The link, once it has been attached."""

    # Sockets and rooms.

    def join(self, rooms: str | Iterable[str], *, to: To, namespace: Space = "/") -> None:
        """Adds every socket of a target to rooms.

        Args:
            rooms: One room or several.
            to: A room or socket id, several, or a `Target`.
            namespace: The namespace.
        """
        self._move("join", names(rooms), to, namespace)

    def leave(self, rooms: str | Iterable[str], *, to: To, namespace: Space = "/") -> None:
        """Takes every socket of a target out of rooms.

        Args:
            rooms: One room or several.
            to: A room or socket id, several, or a `Target`.
            namespace: The namespace.
        """
        self._move("leave", names(rooms), to, namespace)

    def disconnect(self, *, to: To, namespace: Space = "/", close_session: bool = False) -> None:
        """Ends every socket of a target; their browsers do not reconnect by themselves.

        Args:
            to: A room or socket id, several, or a `Target`.
            namespace: The namespace.
            close_session: Closes the whole session under each socket too.
        """
        self._disconnect(to, namespace, close_session=close_session)

    def sockets_join(self, rooms: str | Iterable[str]) -> None:
        """Adds every socket of namespace "/" to rooms. `to` and `of` begin a target for others."""
        self.of("/").sockets_join(rooms)

    def sockets_leave(self, rooms: str | Iterable[str]) -> None:
        """Takes every socket of namespace "/" out of rooms. `to` and `of` begin a target for others."""
        self.of("/").sockets_leave(rooms)

    def disconnect_sockets(self, close: bool = False) -> None:
        """Ends every socket of namespace "/". `to` and `of` begin a target for others."""
        self.of("/").disconnect_sockets(close)

    def fetch_sockets(self, *, limit: int = 0) -> Sockets:
        """Asks which sockets namespace "/" has; see `Target.fetch_sockets`. `to` and `of` begin a target for others."""
        return self.of("/").fetch_sockets(limit=limit)

    def rooms(self, namespace: str = "/", *, own: bool = False, local: bool = False, timeout: float | None = None) -> Rooms:
        """Asks which rooms a namespace has. Not for coroutines, whose loop it would stop.

        Args:
            namespace: The namespace.
            own: Whether to be told of each socket's own room too.
            local: Asks one replica only, rather than the whole cluster.
            timeout: How long to wait for replicas, in seconds; None means the broker's setting `query-timeout`.

        Returns:
            How many sockets each room has, and what is missing.

        Raises:
            BrokerUnavailableError: The stream broke meanwhile.
            CommandError: The broker refused the question.
        """
        action = handler_pb2.Action()
        _commands.fill_rooms(action.command, namespace, own=own, local=local, timeout=timeout)
        return _commands.rooms(self._ask(action, timeout))

    # Messages.

    def server_side_emit(
        self,
        message: str,
        *args: Any,
        namespace: str = "/",
        services: str | Iterable[str] = (),
        callback: Callable[[InstanceAcks], Any] | None = None,
        timeout: float | None = None,
    ) -> None:
        """Sends a message to every other instance in the cluster that registered for it. Browsers see nothing of it.

        Args:
            message: The message's name.
            *args: The arguments; a lone tuple means several.
            namespace: The namespace that the message belongs to.
            services: Limits it to instances of these services.
            callback: Called once with the acks, when all have come or the time is over.
            timeout: How long to gather acks, in seconds; None means the broker's setting `ack-timeout`.

        Raises:
            TypeError: An argument cannot be sent.
            QueueFullError: The broker does not take what is sent.
        """
        action = self._message(message, args, namespace, services)
        if callback is None:
            self._execute(action, None)
            return
        action.command.server_side_emit.want_acks = True
        action.command.server_side_emit.ack_timeout_ms = _commands.milliseconds(timeout)
        self._ask_later(action, lambda answer: callback(_commands.instance_acks(self._codec, answer)))

    def server_side_emit_with_ack(
        self,
        message: str,
        *args: Any,
        namespace: str = "/",
        services: str | Iterable[str] = (),
        timeout: float | None = None,
    ) -> InstanceAcks:
        """Sends a message to every other instance that registered for it, and gathers the acks. Not for coroutines.

        Args:
            message: The message's name.
            *args: The arguments; a lone tuple means several.
            namespace: The namespace that the message belongs to.
            services: Limits it to instances of these services.
            timeout: How long to gather, in seconds; None means the broker's setting `ack-timeout`.

        Returns:
            The acks that came in time, and how many did not.

        Raises:
            TypeError: An argument cannot be sent.
            BrokerUnavailableError: The stream broke meanwhile.
            CommandError: The broker refused the message.
        """
        action = self._message(message, args, namespace, services)
        action.command.server_side_emit.want_acks = True
        action.command.server_side_emit.ack_timeout_ms = _commands.milliseconds(timeout)
        return _commands.instance_acks(self._codec, self._ask(action, timeout))

    def _message(self, name: str, args: tuple[Any, ...], namespace: str, services: str | Iterable[str]) -> handler_pb2.Action:
        action = handler_pb2.Action()
        _commands.fill_message(action.command, self._codec, name, args, namespace, services)
        return action

    # What targets, sockets and the layers above use.

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
        link: Link | None = None,
    ) -> None:
        action = self._emit_action(event, args, to, except_, namespace, volatile=volatile, compress=compress)
        if action is not None:
            self._execute(action, link)

    def _emit_action(
        self,
        event: str,
        args: tuple[Any, ...],
        to: To,
        except_: str | Iterable[str] | None,
        namespace: Space,
        *,
        volatile: bool = False,
        compress: bool = True,
    ) -> handler_pb2.Action | None:
        """Writes down an emit and tells the listeners; None when nobody can be meant."""
        action = handler_pb2.Action()
        message = action.command.emit
        if not _commands.fill_emit(message, self._codec, event, args, to, except_, namespace):
            return None
        if volatile:
            message.volatile = True
        if not compress:
            message.no_compress = True
        if self._outgoing:
            target = to if isinstance(to, Target) else Target(to, namespace=namespace)
            self._tell_outgoing(target.except_(except_) if except_ is not None else target, event, args)
        return action

    def _tell_outgoing(self, target: Target, event: str, args: tuple[Any, ...]) -> None:
        for listener in self._outgoing:
            try:
                listener(target, event, *args)
            except Exception:
                log.exception("a listener to outgoing events failed")

    def _emit_with_callback(
        self,
        event: str,
        args: tuple[Any, ...],
        to: To,
        except_: str | Iterable[str] | None,
        namespace: Space,
        callback: Callable[..., Any],
        origin: SocketState | None = None,
        link: Link | None = None,
        *,
        volatile: bool = False,
        compress: bool = True,
    ) -> None:
        """Emits; the callback is run with each ack that comes, in turn with the events of the origin."""
        action = self._emit_action(event, args, to, except_, namespace, volatile=volatile, compress=compress)
        if action is None:
            return
        link = link or self._ready_link()
        action.command.emit.want_acks = True
        action.command.id = link.next_command()
        waiter = CallbackWaiter(link.conversation.memory, self._codec, callback, origin)
        link.command(action, waiter, may_block=not on_loop())

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
    ) -> None:
        """Emits; the callback is run once with all the acks."""
        action = self._emit_action(event, args, to, except_, namespace, volatile=volatile, compress=compress)
        if action is None:
            callback(Acks(sockets=0, acks=[], missing=0))
            return
        action.command.emit.want_acks = True
        action.command.emit.ack_timeout_ms = _commands.milliseconds(_patience(to, None))
        self._ask_later(action, lambda answer: callback(_commands.acks(self._codec, answer)))

    def _gather(
        self,
        event: str,
        args: tuple[Any, ...],
        to: To,
        except_: str | Iterable[str] | None,
        namespace: Space,
        timeout: float | None,
        *,
        link: Link | None = None,
    ) -> Acks:
        action = self._emit_action(event, args, to, except_, namespace)
        if action is None:
            return Acks(sockets=0, acks=[], missing=0)
        timeout = _patience(to, timeout)
        action.command.emit.want_acks = True
        action.command.emit.ack_timeout_ms = _commands.milliseconds(timeout)
        return _commands.gathered(self._codec, self._answer(action, timeout, link))

    def _call(
        self, event: str, args: tuple[Any, ...], to: str, namespace: str, timeout: float, *, link: Link | None = None
    ) -> list[Any]:
        acks = self._gather(event, args, to, None, namespace, timeout, link=link).acks
        if not acks:
            raise AckTimeoutError(f"{event!r} was not answered by {to!r} within {timeout:g} s", event=event)
        return acks[0].args

    def _fetch(self, target: Target, limit: int, *, link: Link | None = None) -> Sockets:
        action = handler_pb2.Action()
        if not _commands.fill_fetch(action.command, target, limit):
            return Sockets()
        return _commands.sockets(self._codec, self._ask(action, target._timeout, link), target, self, link)

    def _rooms_of(self, socket_id: str, namespace: str, *, link: Link | None = None) -> tuple[str, ...]:
        """The rooms of one socket; none when it is not there."""
        everywhere = Target(socket_id, namespace=namespace)
        # Mostly it lives where this instance is attached, and other replicas need not be waited for.
        for target in (everywhere.local(), everywhere):
            found = self._fetch(target, 1, link=link)
            if found:
                return found[0].rooms
        return ()

    def _set_data(self, state: SocketState, data: bytes, if_version: int, *, link: Link | None = None) -> int:
        """Keeps data with a socket; whatever is learnt of it is remembered."""
        action = handler_pb2.Action()
        command = action.command.set_data
        command.namespace, command.socket_id = state.namespace, state.id
        command.data, command.if_version = data, if_version
        answer = self._answer(action, None, link)
        # A conflict tells what is there.
        state.keep(answer.data if answer.HasField("fault") else data, answer.data_version)
        _commands.check(self._codec, answer)
        return int(answer.data_version)

    def _ask(self, action: handler_pb2.Action, timeout: float | None, link: Link | None = None) -> command_pb2.Answer:
        answer = self._answer(action, timeout, link)
        _commands.check(self._codec, answer)
        return answer

    def _answer(self, action: handler_pb2.Action, timeout: float | None, link: Link | None) -> command_pb2.Answer:
        """Sends a command and waits for its answer, whatever that says."""
        if on_loop():
            raise RuntimeError("waiting for an answer would stop the event loop; use asyncio.to_thread")
        link = link or self._ready_link()
        command = action.command
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
        return waiter.answer

    def _ask_later(self, action: handler_pb2.Action, callback: Callable[[command_pb2.Answer], Any]) -> None:
        """Sends a command; the callback is run with its answer on a thread of the handlers'."""
        link = self._ready_link()
        action.command.id = link.next_command()
        link.command(action, AnswerWaiter(callback), may_block=not on_loop())

    def _move(self, verb: str, rooms: tuple[str, ...], to: To, namespace: Space, *, link: Link | None = None) -> None:
        action = handler_pb2.Action()
        if _commands.fill_move(action.command, verb, rooms, to, namespace):
            link = link or self._ready_link()
            if link.conversation.refuses_socket_id_rooms:
                _commands.check_rooms(action.command)
            self._execute(action, link)

    def _disconnect(self, to: To, namespace: Space, *, close_session: bool = False, link: Link | None = None) -> None:
        action = handler_pb2.Action()
        if _commands.fill_disconnect(action.command, to, namespace, close_session=close_session):
            self._execute(action, link)

    def _execute(self, action: handler_pb2.Action, link: Link | None) -> None:
        (link or self._ready_link()).command(action, may_block=not on_loop())


def _patience(to: To, timeout: float | None) -> float | None:
    """The timeout that was named, or else the target's."""
    return to._timeout if timeout is None and isinstance(to, Target) else timeout
