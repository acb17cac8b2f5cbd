# SPDX-License-Identifier: Apache-2.0
"""The verbs of a service: its commands to the broker, and the waits for their answers."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Callable, Iterable
from typing import Any

from . import _commands, _log
from ._checks import Space, check_callable, names
from ._emits import Emits
from ._link import Link
from ._proto import command_pb2, handler_pb2
from ._records import SocketState
from ._target import PLAIN, EmitFlags, Target, To, make_target
from ._values import Acks, InstanceAcks, Rooms, Sockets
from ._waiters import AnswerWaiter, CallbackWaiter, FutureWaiter
from .exceptions import AckTimeoutError, BrokerUnavailableError

__all__ = ["Verbs", "on_loop"]

_MARGIN = 5.0  # seconds, in addition to the time that the broker may take for an answer


def on_loop() -> bool:
    """Returns whether the calling thread runs an event loop, which must not block."""
    return asyncio._get_running_loop() is not None


class Verbs(Emits[None]):
    """The verbs of a service."""

    _outgoing: list[Callable[..., Any]]

    @abstractmethod
    def _ready_link(self) -> Link:
        """Returns the link, once it has been attached."""

    # Sockets and rooms.

    def join(self, rooms: str | Iterable[str], *, to: To, namespace: Space = "/") -> None:
        """Adds each socket of a target to rooms.

        Args:
            rooms: One room or several.
            to: A room or socket id, several, or a `Target`.
            namespace: The namespace.
        """
        self._move("join", names(rooms), make_target(to, None, namespace))

    def leave(self, rooms: str | Iterable[str], *, to: To, namespace: Space = "/") -> None:
        """Removes each socket of a target from rooms.

        Args:
            rooms: One room or several.
            to: A room or socket id, several, or a `Target`.
            namespace: The namespace.
        """
        self._move("leave", names(rooms), make_target(to, None, namespace))

    def disconnect(self, *, to: To, namespace: Space = "/", close_session: bool = False) -> None:
        """Disconnects each socket of a target; their browsers do not reconnect by themselves.

        Args:
            to: A room or socket id, several, or a `Target`.
            namespace: The namespace.
            close_session: Whether to close the whole session of each socket too.
        """
        self._disconnect(make_target(to, None, namespace), close_session=close_session)

    def sockets_join(self, rooms: str | Iterable[str]) -> None:
        """Adds each socket of namespace "/" to rooms. For other sockets begin with `to` or `of`."""
        self.of("/").sockets_join(rooms)

    def sockets_leave(self, rooms: str | Iterable[str]) -> None:
        """Removes each socket of namespace "/" from rooms. For others begin with `to` or `of`."""
        self.of("/").sockets_leave(rooms)

    def disconnect_sockets(self, close: bool = False) -> None:
        """Disconnects each socket of namespace "/". For other sockets begin with `to` or `of`."""
        self.of("/").disconnect_sockets(close)

    def fetch_sockets(self, *, limit: int = 0) -> Sockets:
        """Lists the sockets of namespace "/"; see `Target.fetch_sockets`.

        For other sockets begin with `to` or `of`.
        """
        return self.of("/").fetch_sockets(limit=limit)

    def rooms(self, namespace: str = "/", *, own: bool = False, local: bool = False, timeout: float | None = None) -> Rooms:
        """Lists the rooms of a namespace.

        The method blocks and cannot be cancelled, so it refuses to run on an event loop: use
        `asyncio.to_thread` there.

        Args:
            namespace: The namespace.
            own: Whether to include each socket's own room.
            local: Whether to ask one replica only, rather than the whole cluster.
            timeout: How long to wait for replicas, in seconds; None means the broker's setting
                `query-timeout`.

        Returns:
            How many sockets each room has, and what is missing.

        Raises:
            BrokerUnavailableError: The stream broke before the answer arrived.
            CommandError: The broker rejected the query.
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
        """Sends a message to every other instance in the cluster that registered for it.

        Browsers do not receive it. Use it to notify other processes, for example to reload a cache.

        Args:
            message: The message's name.
            *args: The arguments; a lone tuple means several.
            namespace: The namespace of the message.
            services: Limits the message to instances of these services.
            callback: Called once with the acks, when all have arrived or the timeout has passed.
            timeout: How long to collect acks, in seconds; None means the broker's setting
                `ack-timeout`.

        Raises:
            TypeError: An argument cannot be sent.
            QueueFullError: The queue to the broker is full.
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
        """Sends a message to every other instance that registered for it, and collects the acks.

        The method blocks and cannot be cancelled, so it refuses to run on an event loop: use
        `asyncio.to_thread` there.

        Args:
            message: The message's name.
            *args: The arguments; a lone tuple means several.
            namespace: The namespace of the message.
            services: Limits the message to instances of these services.
            timeout: How long to collect, in seconds; None means the broker's setting `ack-timeout`.

        Returns:
            The acks that arrived in time, and how many did not.

        Raises:
            TypeError: An argument cannot be sent.
            BrokerUnavailableError: The stream broke before the answer arrived.
            CommandError: The broker rejected the message.
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

    def _emit(self, event: str, args: tuple[Any, ...], target: Target, flags: EmitFlags = PLAIN) -> None:
        action = handler_pb2.Action()
        if _commands.emit_to_proto(action.command.emit, self._codec, event, args, target, flags):
            if self._outgoing:
                self._notify_outgoing(target, event, args)
            link = target._link or self._ready_link()
            link.command(action, may_block=not on_loop())

    def _emit_action(self, event: str, args: tuple[Any, ...], target: Target, flags: EmitFlags) -> handler_pb2.Action | None:
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
            except Exception as error:
                _log.error("listener to outgoing events failed", exception=error, event=event)

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
        link.scheduler.about_to_block()
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
