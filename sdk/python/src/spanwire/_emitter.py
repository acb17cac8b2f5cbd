# SPDX-License-Identifier: Apache-2.0
"""The emitter, for programs without handlers: scripts, cron jobs, shells, task queues."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NoReturn

from . import _commands
from ._checks import Space, check_flag, check_name, check_seconds, check_space, names
from ._emits import Emits
from ._payloads import Codec, Json
from ._proto import command_pb2, emitter_pb2
from ._settings import Settings, Token
from ._target import PLAIN, EmitFlags, Target, To, emit_flags, make_target
from ._unary import UnaryClient
from ._values import Acks, Count, InstanceAcks, Rooms, Sockets

__all__ = ["Emitter"]

_EMIT = "/spanwire.v1.EmitterService/Emit"
_EXECUTE = "/spanwire.v1.EmitterService/Execute"
_RETIRE = "/spanwire.v1.EmitterService/RetireService"
_COLLECT_TIMEOUT = 10.0  # seconds for which acks are collected by default


class Emitter(Emits[Count]):
    """Sends events through the broker, with one call for each; it has no handlers and no stream.

    Use it in scripts, cron jobs, shells and task queues, and in web applications that handle no
    events. A program that has a `Service` emits with that, without waiting for an answer.

    Example::

        with Emitter("127.0.0.1:50051") as emitter:
            emitter.emit("my response", {"data": 1})

    Threads may share it, and it survives a fork. Its methods block until the answer has arrived or
    the timeout has passed, and cannot be cancelled.

    Args:
        address: The brokers' addresses for services, with commas between several, the next of which
            is used when one cannot be reached; `SPANWIRE_ADDRESS` when None.
        namespace: The default namespace of its methods.
        timeout: How long one call may take, in seconds.
        json: A replacement for the `json` module.
        token: The token for the brokers' service listener; a function that returns it, called for
            each call; or the path of a file that is read for each call. `SPANWIRE_TOKEN` when None.
        tls_ca: A file with the certificates to trust; `SPANWIRE_TLS_CA` when None.
        tls_cert: A file with the client certificate and its intermediate certificates.
        tls_key: A file with the key of the client certificate.
    """

    def __init__(
        self,
        address: str | None = None,
        *,
        namespace: Space = "/",
        timeout: float = 10.0,
        json: Json | None = None,
        token: Token | None = None,
        tls_ca: str | None = None,
        tls_cert: str = "",
        tls_key: str = "",
    ) -> None:
        settings = Settings.read(address, token=token, tls_ca=tls_ca, tls_cert=tls_cert, tls_key=tls_key)
        self._unary = UnaryClient(settings)
        self._namespace = check_space(namespace)
        self._timeout = check_seconds(timeout) or 0.0
        self._codec = Codec(json)

    def __enter__(self) -> Emitter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connection; the next emit opens it again."""
        self._unary.close()

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
        count: bool = False,
        idempotency_key: str = "",
    ) -> Count:
        """Sends an event.

        The method returns when local sockets have been served and the event was published to the
        other replicas.

        Args:
            event: The event's name.
            *args: The arguments; a lone tuple means several.
            to: A room or socket id, several, a `Target`, or None for the whole namespace.
            except_: Rooms and socket ids to exclude.
            namespace: The namespace, or a compiled pattern for each namespace that it matches.
            volatile: Whether the event may be dropped for browsers that cannot take it at once.
            compress: Whether the event may be compressed.
            callback: Not for an `Emitter`.
            count: Whether to count the sockets of the whole cluster, and wait for that.
            idempotency_key: A key under which the call is executed once: the second call with the
                same key is not executed, and returns the outcome of the first. With a key, another
                address is also tried when it is unknown whether the first one took the call.

        Returns:
            How many sockets were reached: on the replica that took the call, or in the whole
            cluster with `count`. The attribute `dropped` is the number of them for which the event
            was dropped.

        Raises:
            TypeError: An argument cannot be sent.
            BrokerUnavailableError: No broker can be reached.
            PartialDeliveryError: One replica sent the event to its sockets, and others may not
                have.
            CommandError: The broker rejected the emit.
        """
        if callback is not None:
            self._emit_for_acks()
        space = self._namespace if namespace is None else namespace
        flags = emit_flags(volatile, compress)
        target = make_target(to, except_, space)
        return self._emit(event, args, target, flags, count=count, key=idempotency_key)

    def emit_with_ack(
        self,
        event: str,
        *args: Any,
        to: To = None,
        except_: str | Iterable[str] | None = None,
        namespace: Space | None = None,
        timeout: float | None = None,
        idempotency_key: str = "",
    ) -> Acks:
        """Sends an event and collects the acks.

        Args:
            event: The event's name.
            *args: The arguments; a lone tuple means several.
            to: A room or socket id, several, a `Target`, or None for the whole namespace.
            except_: Rooms and socket ids to leave out.
            namespace: The namespace, as for `emit`.
            timeout: How long to collect, in seconds. None means the timeout of the target, or else
                10 s.
            idempotency_key: As for `emit`.

        Returns:
            The acks that arrived in time, and how many did not.

        Raises:
            TypeError: An argument cannot be sent.
            BrokerUnavailableError: No broker can be reached.
            CommandError: The broker rejected the emit.
        """
        target = self._target_for_acks(to, except_, namespace, timeout)
        return self._gather(event, args, target, key=idempotency_key)

    # Commands that handlers have, too.

    def join(
        self,
        rooms: str | Iterable[str],
        *,
        to: To,
        namespace: Space | None = None,
        count: bool = False,
        idempotency_key: str = "",
    ) -> int:
        """Adds each socket of a target to rooms.

        Args:
            rooms: One room or several.
            to: A room or socket id, several, or a `Target`.
            namespace: The namespace, as for `emit`.
            count: Whether to return when every replica has executed it, rather than when it was
                published.
            idempotency_key: As for `emit`.

        Returns:
            How many sockets the target has: on the replica that took the call, or in the whole
            cluster with `count`.
        """
        target = self._target(to, namespace)
        return self._move("join", names(rooms), target, count=count, key=idempotency_key)

    def leave(
        self,
        rooms: str | Iterable[str],
        *,
        to: To,
        namespace: Space | None = None,
        count: bool = False,
        idempotency_key: str = "",
    ) -> int:
        """Removes each socket of a target from rooms.

        Args:
            rooms: One room or several.
            to: A room or socket id, several, or a `Target`.
            namespace: The namespace, as for `emit`.
            count: Whether to return when every replica has executed it, rather than when it was
                published.
            idempotency_key: As for `emit`.

        Returns:
            How many sockets the target has: on the replica that took the call, or in the whole
            cluster with `count`.
        """
        target = self._target(to, namespace)
        return self._move("leave", names(rooms), target, count=count, key=idempotency_key)

    def disconnect(
        self,
        *,
        to: To,
        namespace: Space | None = None,
        close_session: bool = False,
        count: bool = False,
        idempotency_key: str = "",
    ) -> int:
        """Disconnects each socket of a target; their browsers do not reconnect by themselves.

        Args:
            to: A room or socket id, several, or a `Target`.
            namespace: The namespace, as for `emit`.
            close_session: Whether to close the whole session of each socket too.
            count: As for `join`.
            idempotency_key: As for `emit`.

        Returns:
            How many sockets the target has, as for `join`.
        """
        target = self._target(to, namespace)
        return self._disconnect(target, close_session=close_session, count=count, key=idempotency_key)

    def rooms(
        self, namespace: str | None = None, *, own: bool = False, local: bool = False, timeout: float | None = None
    ) -> Rooms:
        """Lists the rooms of a namespace.

        Args:
            namespace: The namespace, as for `emit`.
            own: Whether to include each socket's own room.
            local: Whether to ask one replica only, rather than the whole cluster.
            timeout: How long to wait for replicas, in seconds; None means the broker's setting
                `query-timeout`.

        Returns:
            How many sockets each room has, and what is missing.

        Raises:
            BrokerUnavailableError: No broker can be reached.
            CommandError: The broker rejected the query.
        """
        request = emitter_pb2.ExecuteRequest()
        space = self._namespace if namespace is None else namespace
        _commands.list_rooms_to_proto(request.command, space, own=own, local=local, timeout=timeout)
        return _commands.rooms_from_proto(self._execute(request, timeout))

    def server_side_emit(
        self,
        message: str,
        *args: Any,
        namespace: str | None = None,
        services: str | Iterable[str] = (),
        idempotency_key: str = "",
    ) -> None:
        """Sends a message to every instance in the cluster that registered for it.

        Browsers do not receive it.

        Args:
            message: The message's name.
            *args: The arguments; a lone tuple means several.
            namespace: The namespace of the message, as for `emit`.
            services: Limits the message to instances of these services.
            idempotency_key: As for `emit`.

        Raises:
            TypeError: An argument cannot be sent.
            BrokerUnavailableError: No broker can be reached.
            CommandError: The broker rejected the message.
        """
        self._execute(self._message(message, args, namespace, services, idempotency_key))

    def server_side_emit_with_ack(
        self,
        message: str,
        *args: Any,
        namespace: str | None = None,
        services: str | Iterable[str] = (),
        timeout: float | None = None,
        idempotency_key: str = "",
    ) -> InstanceAcks:
        """Sends a message to every instance that registered for it, and collects the acks.

        Args:
            message: The message's name.
            *args: The arguments; a lone tuple means several.
            namespace: The namespace of the message, as for `emit`.
            services: Limits the message to instances of these services.
            timeout: How long to collect, in seconds; None means 10 s.
            idempotency_key: As for `emit`.

        Returns:
            The acks that arrived in time, and how many did not.

        Raises:
            TypeError: An argument cannot be sent.
            BrokerUnavailableError: No broker can be reached.
            CommandError: The broker rejected the message.
        """
        request = self._message(message, args, namespace, services, idempotency_key)
        timeout = _COLLECT_TIMEOUT if timeout is None else timeout
        request.command.server_side_emit.want_acks = True
        request.command.server_side_emit.ack_timeout_ms = _commands.milliseconds(timeout)
        return _commands.instance_acks_from_proto(self._codec, self._execute(request, timeout))

    def retire_service(self, service: str, *, timeout: float | None = None) -> list[str]:
        """Removes a service without instances in the whole cluster.

        Connects no longer wait for it, and its queued events are dropped. The caller needs the
        right `retire`.

        Args:
            service: The service's name.
            timeout: How long to wait, in seconds; None means the emitter's timeout.

        Returns:
            The replicas that did not answer in time. They may still know the service.

        Raises:
            BrokerUnavailableError: No broker can be reached.
            CommandError: No replica knows the service ("NOT_FOUND"), or it has instances
                ("CONFLICT").
        """
        request = emitter_pb2.RetireServiceRequest(service=check_name(service, "service name", "pass the name of the service"))
        timeout = self._timeout if timeout is None else check_seconds(timeout) or 0.0
        return list(self._unary.call(_RETIRE, request, emitter_pb2.RetireServiceResponse, timeout).silent_replicas)

    def _message(
        self, name: str, args: tuple[Any, ...], namespace: str | None, services: str | Iterable[str], key: str
    ) -> emitter_pb2.ExecuteRequest:
        request = emitter_pb2.ExecuteRequest(idempotency_key=_check_key(key))
        space = self._namespace if namespace is None else namespace
        _commands.message_to_proto(request.command, self._codec, name, args, space, services)
        return request

    # The private layer, which targets call.

    def _target(self, to: To, namespace: Space | None) -> Target:
        return make_target(to, None, self._namespace if namespace is None else namespace)

    def _emit(
        self,
        event: str,
        args: tuple[Any, ...],
        target: Target,
        flags: EmitFlags = PLAIN,
        *,
        count: bool = False,
        key: str = "",
    ) -> Count:
        request = self._request(event, args, target, flags, key)
        if request is None:
            return Count(0)
        request.emit.want_count = check_flag(count, "count")
        response = self._send(request, self._timeout)
        if count:
            return _commands.counted(self._codec, response)
        _commands.check(self._codec, response)
        return Count(response.sockets, response.dropped)

    def _request(
        self, event: str, args: tuple[Any, ...], target: Target, flags: EmitFlags, key: str
    ) -> emitter_pb2.EmitRequest | None:
        """Makes the request of an emit; None when no socket can match."""
        request = emitter_pb2.EmitRequest(idempotency_key=_check_key(key))
        matches = _commands.emit_to_proto(request.emit, self._codec, event, args, target, flags)
        return request if matches else None

    def _gather(self, event: str, args: tuple[Any, ...], target: Target, *, key: str = "") -> Acks:
        request = self._request(event, args, target, PLAIN, key)
        if request is None:
            return Acks(sockets=0, acks=[], missing=0)
        timeout = _COLLECT_TIMEOUT if target._timeout is None else target._timeout
        request.emit.want_acks = True
        request.emit.ack_timeout_ms = _commands.milliseconds(timeout)
        return _commands.collected(self._codec, self._send(request, timeout + self._timeout))

    def _emit_for_acks(self, *_: Any, **__: Any) -> NoReturn:
        raise RuntimeError("emit: an Emitter has no thread to run a callback on (collect the acks with emit_with_ack)")

    def _fetch(self, target: Target, limit: int) -> Sockets:
        request = emitter_pb2.ExecuteRequest()
        if not _commands.fetch_to_proto(request.command, target, limit):
            return Sockets()
        answer = self._execute(request, target._timeout)
        return _commands.sockets_from_proto(self._codec, answer, target, self)

    def _move(self, verb: str, rooms: tuple[str, ...], target: Target, *, count: bool = False, key: str = "") -> int:
        request = emitter_pb2.ExecuteRequest(idempotency_key=_check_key(key))
        if not _commands.move_to_proto(request.command, verb, rooms, target, count=count):
            return 0
        return self._reached(request, count=count)

    def _disconnect(self, target: Target, *, close_session: bool = False, count: bool = False, key: str = "") -> int:
        request = emitter_pb2.ExecuteRequest(idempotency_key=_check_key(key))
        if not _commands.disconnect_to_proto(request.command, target, close_session=close_session, count=count):
            return 0
        return self._reached(request, count=count)

    def _reached(self, request: emitter_pb2.ExecuteRequest, *, count: bool) -> int:
        answer = self._execute(request)
        return _commands.counted(self._codec, answer) if count else int(answer.sockets)

    def _execute(self, request: emitter_pb2.ExecuteRequest, timeout: float | None = None) -> command_pb2.Answer:
        response = self._unary.call(_EXECUTE, request, emitter_pb2.ExecuteResponse, (timeout or 0) + self._timeout)
        answer: command_pb2.Answer = response.answer
        _commands.check(self._codec, answer)
        return answer

    def _send(self, request: emitter_pb2.EmitRequest, timeout: float) -> emitter_pb2.EmitResponse:
        response: emitter_pb2.EmitResponse = self._unary.call(_EMIT, request, emitter_pb2.EmitResponse, timeout)
        return response


def _check_key(key: str) -> str:
    return check_name(key, "idempotency_key", "pass the key as text")
