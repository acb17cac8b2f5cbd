from . import command_pb2 as _command_pb2
from . import event_pb2 as _event_pb2
from . import handler_pb2 as _handler_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class OccurrenceKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OCCURRENCE_KIND_UNSPECIFIED: _ClassVar[OccurrenceKind]
    OCCURRENCE_KIND_CONNECTED: _ClassVar[OccurrenceKind]
    OCCURRENCE_KIND_DISCONNECTED: _ClassVar[OccurrenceKind]
    OCCURRENCE_KIND_DISPATCHED: _ClassVar[OccurrenceKind]
    OCCURRENCE_KIND_RESOLVED: _ClassVar[OccurrenceKind]
    OCCURRENCE_KIND_EMITTED: _ClassVar[OccurrenceKind]
    OCCURRENCE_KIND_DROPPED: _ClassVar[OccurrenceKind]
    OCCURRENCE_KIND_UNHANDLED: _ClassVar[OccurrenceKind]
    OCCURRENCE_KIND_CONNECT_REFUSED: _ClassVar[OccurrenceKind]
OCCURRENCE_KIND_UNSPECIFIED: OccurrenceKind
OCCURRENCE_KIND_CONNECTED: OccurrenceKind
OCCURRENCE_KIND_DISCONNECTED: OccurrenceKind
OCCURRENCE_KIND_DISPATCHED: OccurrenceKind
OCCURRENCE_KIND_RESOLVED: OccurrenceKind
OCCURRENCE_KIND_EMITTED: OccurrenceKind
OCCURRENCE_KIND_DROPPED: OccurrenceKind
OCCURRENCE_KIND_UNHANDLED: OccurrenceKind
OCCURRENCE_KIND_CONNECT_REFUSED: OccurrenceKind

class ListServicesRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListServicesResponse(_message.Message):
    __slots__ = ("services", "replica", "topology", "silent_replicas")
    SERVICES_FIELD_NUMBER: _ClassVar[int]
    REPLICA_FIELD_NUMBER: _ClassVar[int]
    TOPOLOGY_FIELD_NUMBER: _ClassVar[int]
    SILENT_REPLICAS_FIELD_NUMBER: _ClassVar[int]
    services: _containers.RepeatedCompositeFieldContainer[ServiceInfo]
    replica: str
    topology: _handler_pb2.Topology
    silent_replicas: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, services: _Optional[_Iterable[_Union[ServiceInfo, _Mapping]]] = ..., replica: _Optional[str] = ..., topology: _Optional[_Union[_handler_pb2.Topology, _Mapping]] = ..., silent_replicas: _Optional[_Iterable[str]] = ...) -> None: ...

class RetireServiceRequest(_message.Message):
    __slots__ = ("service",)
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    service: str
    def __init__(self, service: _Optional[str] = ...) -> None: ...

class RetireServiceResponse(_message.Message):
    __slots__ = ("connects", "dropped", "silent_replicas")
    CONNECTS_FIELD_NUMBER: _ClassVar[int]
    DROPPED_FIELD_NUMBER: _ClassVar[int]
    SILENT_REPLICAS_FIELD_NUMBER: _ClassVar[int]
    connects: int
    dropped: int
    silent_replicas: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, connects: _Optional[int] = ..., dropped: _Optional[int] = ..., silent_replicas: _Optional[_Iterable[str]] = ...) -> None: ...

class ServiceInfo(_message.Message):
    __slots__ = ("service", "registrations", "instances", "waiting_sockets", "held_connects", "absent_since_ms", "waiting_events", "unread_sockets")
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    REGISTRATIONS_FIELD_NUMBER: _ClassVar[int]
    INSTANCES_FIELD_NUMBER: _ClassVar[int]
    WAITING_SOCKETS_FIELD_NUMBER: _ClassVar[int]
    HELD_CONNECTS_FIELD_NUMBER: _ClassVar[int]
    ABSENT_SINCE_MS_FIELD_NUMBER: _ClassVar[int]
    WAITING_EVENTS_FIELD_NUMBER: _ClassVar[int]
    UNREAD_SOCKETS_FIELD_NUMBER: _ClassVar[int]
    service: str
    registrations: _containers.RepeatedCompositeFieldContainer[_handler_pb2.Registration]
    instances: _containers.RepeatedCompositeFieldContainer[InstanceInfo]
    waiting_sockets: int
    held_connects: int
    absent_since_ms: int
    waiting_events: int
    unread_sockets: int
    def __init__(self, service: _Optional[str] = ..., registrations: _Optional[_Iterable[_Union[_handler_pb2.Registration, _Mapping]]] = ..., instances: _Optional[_Iterable[_Union[InstanceInfo, _Mapping]]] = ..., waiting_sockets: _Optional[int] = ..., held_connects: _Optional[int] = ..., absent_since_ms: _Optional[int] = ..., waiting_events: _Optional[int] = ..., unread_sockets: _Optional[int] = ...) -> None: ...

class InstanceInfo(_message.Message):
    __slots__ = ("instance_id", "sdk", "replicas", "window", "open", "sockets", "waiting_sockets", "draining", "waiting_events", "unread_sockets")
    INSTANCE_ID_FIELD_NUMBER: _ClassVar[int]
    SDK_FIELD_NUMBER: _ClassVar[int]
    REPLICAS_FIELD_NUMBER: _ClassVar[int]
    WINDOW_FIELD_NUMBER: _ClassVar[int]
    OPEN_FIELD_NUMBER: _ClassVar[int]
    SOCKETS_FIELD_NUMBER: _ClassVar[int]
    WAITING_SOCKETS_FIELD_NUMBER: _ClassVar[int]
    DRAINING_FIELD_NUMBER: _ClassVar[int]
    WAITING_EVENTS_FIELD_NUMBER: _ClassVar[int]
    UNREAD_SOCKETS_FIELD_NUMBER: _ClassVar[int]
    instance_id: str
    sdk: str
    replicas: _containers.RepeatedScalarFieldContainer[str]
    window: int
    open: int
    sockets: int
    waiting_sockets: int
    draining: bool
    waiting_events: int
    unread_sockets: int
    def __init__(self, instance_id: _Optional[str] = ..., sdk: _Optional[str] = ..., replicas: _Optional[_Iterable[str]] = ..., window: _Optional[int] = ..., open: _Optional[int] = ..., sockets: _Optional[int] = ..., waiting_sockets: _Optional[int] = ..., draining: bool = ..., waiting_events: _Optional[int] = ..., unread_sockets: _Optional[int] = ...) -> None: ...

class TailRequest(_message.Message):
    __slots__ = ("namespace", "socket_id", "room", "service")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    SOCKET_ID_FIELD_NUMBER: _ClassVar[int]
    ROOM_FIELD_NUMBER: _ClassVar[int]
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    socket_id: str
    room: str
    service: str
    def __init__(self, namespace: _Optional[str] = ..., socket_id: _Optional[str] = ..., room: _Optional[str] = ..., service: _Optional[str] = ...) -> None: ...

class TailResponse(_message.Message):
    __slots__ = ("occurrences",)
    OCCURRENCES_FIELD_NUMBER: _ClassVar[int]
    occurrences: _containers.RepeatedCompositeFieldContainer[Occurrence]
    def __init__(self, occurrences: _Optional[_Iterable[_Union[Occurrence, _Mapping]]] = ...) -> None: ...

class Occurrence(_message.Message):
    __slots__ = ("time_us", "kind", "namespace", "socket_id", "rooms", "service", "instance_id", "event", "dispatch_id", "detail", "missed")
    TIME_US_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    SOCKET_ID_FIELD_NUMBER: _ClassVar[int]
    ROOMS_FIELD_NUMBER: _ClassVar[int]
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_ID_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    DISPATCH_ID_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    MISSED_FIELD_NUMBER: _ClassVar[int]
    time_us: int
    kind: OccurrenceKind
    namespace: str
    socket_id: str
    rooms: _containers.RepeatedScalarFieldContainer[str]
    service: str
    instance_id: str
    event: _event_pb2.Event
    dispatch_id: int
    detail: str
    missed: int
    def __init__(self, time_us: _Optional[int] = ..., kind: _Optional[_Union[OccurrenceKind, str]] = ..., namespace: _Optional[str] = ..., socket_id: _Optional[str] = ..., rooms: _Optional[_Iterable[str]] = ..., service: _Optional[str] = ..., instance_id: _Optional[str] = ..., event: _Optional[_Union[_event_pb2.Event, _Mapping]] = ..., dispatch_id: _Optional[int] = ..., detail: _Optional[str] = ..., missed: _Optional[int] = ...) -> None: ...

class ExecuteRequest(_message.Message):
    __slots__ = ("command", "idempotency_key")
    COMMAND_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    command: _command_pb2.Command
    idempotency_key: str
    def __init__(self, command: _Optional[_Union[_command_pb2.Command, _Mapping]] = ..., idempotency_key: _Optional[str] = ...) -> None: ...

class ExecuteResponse(_message.Message):
    __slots__ = ("answer", "replayed")
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    REPLAYED_FIELD_NUMBER: _ClassVar[int]
    answer: _command_pb2.Answer
    replayed: bool
    def __init__(self, answer: _Optional[_Union[_command_pb2.Answer, _Mapping]] = ..., replayed: bool = ...) -> None: ...

class EmitRequest(_message.Message):
    __slots__ = ("emit", "idempotency_key")
    EMIT_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    emit: _command_pb2.Emit
    idempotency_key: str
    def __init__(self, emit: _Optional[_Union[_command_pb2.Emit, _Mapping]] = ..., idempotency_key: _Optional[str] = ...) -> None: ...

class EmitResponse(_message.Message):
    __slots__ = ("sockets", "acks", "missing", "silent_replicas", "replayed", "fault", "other_replicas", "dropped")
    SOCKETS_FIELD_NUMBER: _ClassVar[int]
    ACKS_FIELD_NUMBER: _ClassVar[int]
    MISSING_FIELD_NUMBER: _ClassVar[int]
    SILENT_REPLICAS_FIELD_NUMBER: _ClassVar[int]
    REPLAYED_FIELD_NUMBER: _ClassVar[int]
    FAULT_FIELD_NUMBER: _ClassVar[int]
    OTHER_REPLICAS_FIELD_NUMBER: _ClassVar[int]
    DROPPED_FIELD_NUMBER: _ClassVar[int]
    sockets: int
    acks: _containers.RepeatedCompositeFieldContainer[_command_pb2.SocketAck]
    missing: int
    silent_replicas: _containers.RepeatedScalarFieldContainer[str]
    replayed: bool
    fault: _command_pb2.Fault
    other_replicas: int
    dropped: int
    def __init__(self, sockets: _Optional[int] = ..., acks: _Optional[_Iterable[_Union[_command_pb2.SocketAck, _Mapping]]] = ..., missing: _Optional[int] = ..., silent_replicas: _Optional[_Iterable[str]] = ..., replayed: bool = ..., fault: _Optional[_Union[_command_pb2.Fault, _Mapping]] = ..., other_replicas: _Optional[int] = ..., dropped: _Optional[int] = ...) -> None: ...
