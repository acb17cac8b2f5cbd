# SPDX-License-Identifier: Apache-2.0
"""What a service can ask of the broker: the verbs, and the waits for their answers."""

from __future__ import annotations

import asyncio
import logging
from abc import abstractmethod
from collections.abc import Callable, Iterable
from typing import Any

from . import _commands
from ._checks import Space, check_callable, names
from ._emits import Emits
from ._link import Link
from ._proto import command_pb2, handler_pb2
from ._records import SocketState
from ._target import PLAIN, EmitFlags, Target, To, make_target
from ._waiters import AnswerWaiter, CallbackWaiter, FutureWaiter
from ._words import Acks, InstanceAcks, Rooms, Sockets
from .exceptions import AckTimeoutError, BrokerUnavailableError

__all__ = ["Verbs", "on_loop"]

log = logging.getLogger("spanwire")

_MARGIN = 5.0  # seconds, in addition to the time that the broker may take for an answer


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
        self._move("join", names(rooms), make_target(to, None, namespace))

    def leave(self, rooms: str | Iterable[str], *, to: To, namespace: Space = "/") -> None:
        """Takes every socket of a target out of rooms.

        Args:
            rooms: One room or several.
            to: A room or socket id, several, or a `Target`.
            namespace: The namespace.
        """
        self._move("leave", names(rooms), make_target(to, None, namespace))

    def disconnect(self, *, to: To, namespace: Space = "/", close_session: bool = False) -> None:
        """Ends every socket of a target; their browsers do not reconnect by themselves.

        Args:
            to: A room or socket id, several, or a `Target`.
            namespace: The namespace.
            close_session: Closes the whole session under each socket too.
        """
        self._disconnect(make_target(to, None, namespace), close_session=close_session)

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
        _commands.list_rooms_to_proto(action.command, namespace, own=own, local=local, timeout=timeout)
        return _commands.rooms_from_proto(self._ask(action, timeout))

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
        check_callable(callback, "callback")
        action.command.server_side_emit.want_acks = True
        action.command.server_side_emit.ack_timeout_ms = _commands.milliseconds(timeout)
        self._ask_later(action, lambda answer: callback(_commands.instance_acks_from_proto(self._codec, answer)))

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
        return _commands.instance_acks_from_proto(self._codec, self._ask(action, timeout))

    def _message(self, name: str, args: tuple[Any, ...], namespace: str, services: str | Iterable[str]) -> handler_pb2.Action:
        action = handler_pb2.Action()
        _commands.message_to_proto(action.command, self._codec, name, args, namespace, services)
        return action

    # The private layer, which targets and sockets call.

    def _emit(
        self, event: str, args: tuple[Any, ...], target: Target, flags: EmitFlags = PLAIN
    ) -> None:
        action = handler_pb2.Action()
        if _commands.emit_to_proto(action.command.emit, self._codec, event, args, target, flags):
            if self._outgoing:
                self._notify_outgoing(target, event, args)
            link = target._link or self._ready_link()
            link.command(action, may_block=not on_loop())

    def _emit_action(
        self, event: str, args: tuple[Any, ...], target: Target, flags: EmitFlags
    ) -> handler_pb2.Action | None:
        """Makes the action of an emit and calls the listeners; None when no socket can match."""
        action = handler_pb2.Action()
        if not _commands.emit_to_proto(action.command.emit, self._codec, event, args, target, flags):
            return None
        if self._outgoing:
            self._notify_outgoing(target, event, args)
        return action

    def _notify_outgoing(self, target: Target, event: str, args: tuple[Any, ...]) -> None:
        for listener in self._outgoing:
            try:
                listener(target, event, *args)
            except Exception:
                log.exception("listener to outgoing events failed: event=%r", event)

    def _emit_with_callback(
        self,
        event: str,
        args: tuple[Any, ...],
        target: Target,
        callback: Callable[..., Any],
        origin: SocketState | None = None,
        flags: EmitFlags = PLAIN,
    ) -> None:
        """Emits; the callback runs with each ack, in order with the events of the origin."""
        check_callable(callback, "callback")
        action = self._emit_action(event, args, target, flags)
        if action is None:
            return
        link = target._link or self._ready_link()
        action.command.emit.want_acks = True
        action.command.id = link.next_command()
        waiter = CallbackWaiter(link.conversation.memory, self._codec, callback, origin)
        link.command(action, waiter, may_block=not on_loop())

    def _emit_for_acks(
        self,
        event: str,
        args: tuple[Any, ...],
        target: Target,
        callback: Callable[[Acks], Any],
        flags: EmitFlags = PLAIN,
    ) -> None:
        """Emits; the callback runs once with all the acks."""
        check_callable(callback, "callback")
        action = self._emit_action(event, args, target, flags)
        if action is None:
            callback(Acks(sockets=0, acks=[], missing=0))
            return
        action.command.emit.want_acks = True
        action.command.emit.ack_timeout_ms = _commands.milliseconds(target._timeout)
        self._ask_later(action, lambda answer: callback(_commands.acks_from_proto(self._codec, answer)))

    def _gather(self, event: str, args: tuple[Any, ...], target: Target) -> Acks:
        action = self._emit_action(event, args, target, PLAIN)
        if action is None:
            return Acks(sockets=0, acks=[], missing=0)
        action.command.emit.want_acks = True
        action.command.emit.ack_timeout_ms = _commands.milliseconds(target._timeout)
        return _commands.collected(self._codec, self._answer(action, target._timeout, target._link))

    def _call(self, event: str, args: tuple[Any, ...], target: Target) -> list[Any]:
        """Emits to one socket and returns the arguments of its ack."""
        acks = self._gather(event, args, target).acks
        if not acks:
            within = "" if target._timeout is None else f" within {target._timeout:g} s"
            raise AckTimeoutError(
                f"emit with ack: socket {(target.rooms or ('?',))[0]!r} did not answer {event!r}{within}", event=event
            )
        return acks[0].args

    def _fetch(self, target: Target, limit: int) -> Sockets:
        action = handler_pb2.Action()
        if not _commands.fetch_to_proto(action.command, target, limit):
            return Sockets()
        answer = self._ask(action, target._timeout, target._link)
        return _commands.sockets_from_proto(self._codec, answer, target, self)

    def _rooms_of(self, socket: Target) -> tuple[str, ...]:
        """Returns the rooms of one socket; none when it does not exist."""
        # It usually lives where this instance is attached, so other replicas are asked second.
        for target in (socket.local(), socket):
            found = self._fetch(target, 1)
            if found:
                return found[0].rooms
        return ()

    def _set_data(self, state: SocketState, data: bytes, if_version: int, *, link: Link | None = None) -> int:
        """Stores data with a socket, and remembers what the answer says about it."""
        action = handler_pb2.Action()
        command = action.command.set_data
        command.namespace, command.socket_id = state.namespace, state.id
        command.data, command.if_version = data, if_version
        answer = self._answer(action, None, link)
        # The answer to a conflict holds the present data.
        state.keep(answer.data if answer.HasField("fault") else data, answer.data_version)
        _commands.check(self._codec, answer)
        return int(answer.data_version)

    def _ask(self, action: handler_pb2.Action, timeout: float | None, link: Link | None = None) -> command_pb2.Answer:
        answer = self._answer(action, timeout, link)
        _commands.check(self._codec, answer)
        return answer

    def _answer(self, action: handler_pb2.Action, timeout: float | None, link: Link | None) -> command_pb2.Answer:
        """Sends a command and waits for its answer, also for a rejection."""
        if on_loop():
            raise RuntimeError("command: waiting for an answer would block the event loop (use asyncio.to_thread)")
        link = link or self._ready_link()
        command = action.command
        command.id = link.next_command()
        waiter = FutureWaiter()
        link.command(action, waiter)
        link.crew.about_to_block()
        link.flush()
        # The broker bounds the wait; the margin is for the way to it and back.
        if not waiter.event.wait(None if timeout is None else timeout + _MARGIN):
            link.conversation.withdraw(command.id)
            raise BrokerUnavailableError("command: the broker did not answer in time")
        if waiter.answer is None:
            raise BrokerUnavailableError("command: the stream to the broker broke before the answer arrived")
        return waiter.answer

    def _ask_later(self, action: handler_pb2.Action, callback: Callable[[command_pb2.Answer], Any]) -> None:
        """Sends a command; the callback runs with its answer on a thread of the handlers."""
        link = self._ready_link()
        action.command.id = link.next_command()
        link.command(action, AnswerWaiter(callback), may_block=not on_loop())

    def _move(self, verb: str, rooms: tuple[str, ...], target: Target) -> None:
        action = handler_pb2.Action()
        if _commands.move_to_proto(action.command, verb, rooms, target):
            link = target._link or self._ready_link()
            if link.conversation.refuses_socket_id_rooms:
                _commands.check_rooms(action.command)
            self._execute(action, link)

    def _disconnect(self, target: Target, *, close_session: bool = False) -> None:
        action = handler_pb2.Action()
        if _commands.disconnect_to_proto(action.command, target, close_session=close_session):
            self._execute(action, target._link)

    def _execute(self, action: handler_pb2.Action, link: Link | None) -> None:
        (link or self._ready_link()).command(action, may_block=not on_loop())
