from . import command_pb2 as _command_pb2
from . import event_pb2 as _event_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class DeliveryMode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DELIVERY_MODE_UNSPECIFIED: _ClassVar[DeliveryMode]
    DELIVERY_MODE_AT_LEAST_ONCE: _ClassVar[DeliveryMode]
    DELIVERY_MODE_AT_MOST_ONCE: _ClassVar[DeliveryMode]

class RoomChange(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ROOM_CHANGE_UNSPECIFIED: _ClassVar[RoomChange]
    ROOM_CHANGE_CREATED: _ClassVar[RoomChange]
    ROOM_CHANGE_DELETED: _ClassVar[RoomChange]
    ROOM_CHANGE_JOINED: _ClassVar[RoomChange]
    ROOM_CHANGE_LEFT: _ClassVar[RoomChange]
DELIVERY_MODE_UNSPECIFIED: DeliveryMode
DELIVERY_MODE_AT_LEAST_ONCE: DeliveryMode
DELIVERY_MODE_AT_MOST_ONCE: DeliveryMode
ROOM_CHANGE_UNSPECIFIED: RoomChange
ROOM_CHANGE_CREATED: RoomChange
ROOM_CHANGE_DELETED: RoomChange
ROOM_CHANGE_JOINED: RoomChange
ROOM_CHANGE_LEFT: RoomChange

class AttachRequest(_message.Message):
    __slots__ = ("register", "batch", "frame_ack", "drain", "registrations")
    REGISTER_FIELD_NUMBER: _ClassVar[int]
    BATCH_FIELD_NUMBER: _ClassVar[int]
    FRAME_ACK_FIELD_NUMBER: _ClassVar[int]
    DRAIN_FIELD_NUMBER: _ClassVar[int]
    REGISTRATIONS_FIELD_NUMBER: _ClassVar[int]
    register: Register
    batch: ActionBatch
    frame_ack: FrameAck
    drain: Drain
    registrations: Registrations
    def __init__(self, register: _Optional[_Union[Register, _Mapping]] = ..., batch: _Optional[_Union[ActionBatch, _Mapping]] = ..., frame_ack: _Optional[_Union[FrameAck, _Mapping]] = ..., drain: _Optional[_Union[Drain, _Mapping]] = ..., registrations: _Optional[_Union[Registrations, _Mapping]] = ...) -> None: ...

class AttachResponse(_message.Message):
    __slots__ = ("welcome", "batch", "frame_ack", "drain", "fault", "topology", "registered")
    WELCOME_FIELD_NUMBER: _ClassVar[int]
    BATCH_FIELD_NUMBER: _ClassVar[int]
    FRAME_ACK_FIELD_NUMBER: _ClassVar[int]
    DRAIN_FIELD_NUMBER: _ClassVar[int]
    FAULT_FIELD_NUMBER: _ClassVar[int]
    TOPOLOGY_FIELD_NUMBER: _ClassVar[int]
    REGISTERED_FIELD_NUMBER: _ClassVar[int]
    welcome: Welcome
    batch: DispatchBatch
    frame_ack: FrameAck
    drain: Drain
    fault: _command_pb2.Fault
    topology: Topology
    registered: Registered
    def __init__(self, welcome: _Optional[_Union[Welcome, _Mapping]] = ..., batch: _Optional[_Union[DispatchBatch, _Mapping]] = ..., frame_ack: _Optional[_Union[FrameAck, _Mapping]] = ..., drain: _Optional[_Union[Drain, _Mapping]] = ..., fault: _Optional[_Union[_command_pb2.Fault, _Mapping]] = ..., topology: _Optional[_Union[Topology, _Mapping]] = ..., registered: _Optional[_Union[Registered, _Mapping]] = ...) -> None: ...

class Register(_message.Message):
    __slots__ = ("protocol_version", "service", "instance_id", "sdk_name", "sdk_version", "registrations", "window", "delivery_mode", "credentials")
    PROTOCOL_VERSION_FIELD_NUMBER: _ClassVar[int]
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_ID_FIELD_NUMBER: _ClassVar[int]
    SDK_NAME_FIELD_NUMBER: _ClassVar[int]
    SDK_VERSION_FIELD_NUMBER: _ClassVar[int]
    REGISTRATIONS_FIELD_NUMBER: _ClassVar[int]
    WINDOW_FIELD_NUMBER: _ClassVar[int]
    DELIVERY_MODE_FIELD_NUMBER: _ClassVar[int]
    CREDENTIALS_FIELD_NUMBER: _ClassVar[int]
    protocol_version: int
    service: str
    instance_id: str
    sdk_name: str
    sdk_version: str
    registrations: _containers.RepeatedCompositeFieldContainer[Registration]
    window: int
    delivery_mode: DeliveryMode
    credentials: bool
    def __init__(self, protocol_version: _Optional[int] = ..., service: _Optional[str] = ..., instance_id: _Optional[str] = ..., sdk_name: _Optional[str] = ..., sdk_version: _Optional[str] = ..., registrations: _Optional[_Iterable[_Union[Registration, _Mapping]]] = ..., window: _Optional[int] = ..., delivery_mode: _Optional[_Union[DeliveryMode, str]] = ..., credentials: bool = ...) -> None: ...

class Registration(_message.Message):
    __slots__ = ("namespace", "events", "catch_all", "connect", "disconnect", "pattern", "room_events", "connect_order", "messages", "connect_advisory", "concurrent_events")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    CATCH_ALL_FIELD_NUMBER: _ClassVar[int]
    CONNECT_FIELD_NUMBER: _ClassVar[int]
    DISCONNECT_FIELD_NUMBER: _ClassVar[int]
    PATTERN_FIELD_NUMBER: _ClassVar[int]
    ROOM_EVENTS_FIELD_NUMBER: _ClassVar[int]
    CONNECT_ORDER_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    CONNECT_ADVISORY_FIELD_NUMBER: _ClassVar[int]
    CONCURRENT_EVENTS_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    events: _containers.RepeatedScalarFieldContainer[str]
    catch_all: bool
    connect: bool
    disconnect: bool
    pattern: bool
    room_events: bool
    connect_order: int
    messages: _containers.RepeatedScalarFieldContainer[str]
    connect_advisory: bool
    concurrent_events: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, namespace: _Optional[str] = ..., events: _Optional[_Iterable[str]] = ..., catch_all: bool = ..., connect: bool = ..., disconnect: bool = ..., pattern: bool = ..., room_events: bool = ..., connect_order: _Optional[int] = ..., messages: _Optional[_Iterable[str]] = ..., connect_advisory: bool = ..., concurrent_events: _Optional[_Iterable[str]] = ...) -> None: ...

class Registrations(_message.Message):
    __slots__ = ("registrations",)
    REGISTRATIONS_FIELD_NUMBER: _ClassVar[int]
    registrations: _containers.RepeatedCompositeFieldContainer[Registration]
    def __init__(self, registrations: _Optional[_Iterable[_Union[Registration, _Mapping]]] = ...) -> None: ...

class Registered(_message.Message):
    __slots__ = ("fault",)
    FAULT_FIELD_NUMBER: _ClassVar[int]
    fault: _command_pb2.Fault
    def __init__(self, fault: _Optional[_Union[_command_pb2.Fault, _Mapping]] = ...) -> None: ...

class Welcome(_message.Message):
    __slots__ = ("replica", "cluster", "version", "window", "frame_window", "max_frame_bytes", "handler_timeout_ms", "topology", "public_url", "refuses_socket_id_rooms", "replica_timeout_ms")
    REPLICA_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    WINDOW_FIELD_NUMBER: _ClassVar[int]
    FRAME_WINDOW_FIELD_NUMBER: _ClassVar[int]
    MAX_FRAME_BYTES_FIELD_NUMBER: _ClassVar[int]
    HANDLER_TIMEOUT_MS_FIELD_NUMBER: _ClassVar[int]
    TOPOLOGY_FIELD_NUMBER: _ClassVar[int]
    PUBLIC_URL_FIELD_NUMBER: _ClassVar[int]
    REFUSES_SOCKET_ID_ROOMS_FIELD_NUMBER: _ClassVar[int]
    REPLICA_TIMEOUT_MS_FIELD_NUMBER: _ClassVar[int]
    replica: str
    cluster: str
    version: str
    window: int
    frame_window: int
    max_frame_bytes: int
    handler_timeout_ms: int
    topology: Topology
    public_url: str
    refuses_socket_id_rooms: bool
    replica_timeout_ms: int
    def __init__(self, replica: _Optional[str] = ..., cluster: _Optional[str] = ..., version: _Optional[str] = ..., window: _Optional[int] = ..., frame_window: _Optional[int] = ..., max_frame_bytes: _Optional[int] = ..., handler_timeout_ms: _Optional[int] = ..., topology: _Optional[_Union[Topology, _Mapping]] = ..., public_url: _Optional[str] = ..., refuses_socket_id_rooms: bool = ..., replica_timeout_ms: _Optional[int] = ...) -> None: ...

class Topology(_message.Message):
    __slots__ = ("replicas",)
    REPLICAS_FIELD_NUMBER: _ClassVar[int]
    replicas: _containers.RepeatedCompositeFieldContainer[Replica]
    def __init__(self, replicas: _Optional[_Iterable[_Union[Replica, _Mapping]]] = ...) -> None: ...

class Replica(_message.Message):
    __slots__ = ("id", "address")
    ID_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    id: str
    address: str
    def __init__(self, id: _Optional[str] = ..., address: _Optional[str] = ...) -> None: ...

class DispatchBatch(_message.Message):
    __slots__ = ("sequence", "answered", "dispatches", "answers", "released")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    ANSWERED_FIELD_NUMBER: _ClassVar[int]
    DISPATCHES_FIELD_NUMBER: _ClassVar[int]
    ANSWERS_FIELD_NUMBER: _ClassVar[int]
    RELEASED_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    answered: int
    dispatches: _containers.RepeatedCompositeFieldContainer[Dispatch]
    answers: _containers.RepeatedCompositeFieldContainer[_command_pb2.Answer]
    released: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, sequence: _Optional[int] = ..., answered: _Optional[int] = ..., dispatches: _Optional[_Iterable[_Union[Dispatch, _Mapping]]] = ..., answers: _Optional[_Iterable[_Union[_command_pb2.Answer, _Mapping]]] = ..., released: _Optional[_Iterable[str]] = ...) -> None: ...

class ActionBatch(_message.Message):
    __slots__ = ("sequence", "answered", "actions")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    ANSWERED_FIELD_NUMBER: _ClassVar[int]
    ACTIONS_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    answered: int
    actions: _containers.RepeatedCompositeFieldContainer[Action]
    def __init__(self, sequence: _Optional[int] = ..., answered: _Optional[int] = ..., actions: _Optional[_Iterable[_Union[Action, _Mapping]]] = ...) -> None: ...

class FrameAck(_message.Message):
    __slots__ = ("answered",)
    ANSWERED_FIELD_NUMBER: _ClassVar[int]
    answered: int
    def __init__(self, answered: _Optional[int] = ...) -> None: ...

class Drain(_message.Message):
    __slots__ = ("retire",)
    RETIRE_FIELD_NUMBER: _ClassVar[int]
    retire: bool
    def __init__(self, retire: bool = ...) -> None: ...

class Dispatch(_message.Message):
    __slots__ = ("id", "socket_id", "namespace", "event", "connect", "disconnected", "room_event", "message", "wants_ack", "redeliveries", "introduction")
    ID_FIELD_NUMBER: _ClassVar[int]
    SOCKET_ID_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    CONNECT_FIELD_NUMBER: _ClassVar[int]
    DISCONNECTED_FIELD_NUMBER: _ClassVar[int]
    ROOM_EVENT_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    WANTS_ACK_FIELD_NUMBER: _ClassVar[int]
    REDELIVERIES_FIELD_NUMBER: _ClassVar[int]
    INTRODUCTION_FIELD_NUMBER: _ClassVar[int]
    id: int
    socket_id: str
    namespace: str
    event: _event_pb2.Event
    connect: Connect
    disconnected: Disconnected
    room_event: RoomEvent
    message: Message
    wants_ack: bool
    redeliveries: int
    introduction: Introduction
    def __init__(self, id: _Optional[int] = ..., socket_id: _Optional[str] = ..., namespace: _Optional[str] = ..., event: _Optional[_Union[_event_pb2.Event, _Mapping]] = ..., connect: _Optional[_Union[Connect, _Mapping]] = ..., disconnected: _Optional[_Union[Disconnected, _Mapping]] = ..., room_event: _Optional[_Union[RoomEvent, _Mapping]] = ..., message: _Optional[_Union[Message, _Mapping]] = ..., wants_ack: bool = ..., redeliveries: _Optional[int] = ..., introduction: _Optional[_Union[Introduction, _Mapping]] = ...) -> None: ...

class Introduction(_message.Message):
    __slots__ = ("handshake", "data", "data_version")
    HANDSHAKE_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    DATA_VERSION_FIELD_NUMBER: _ClassVar[int]
    handshake: _event_pb2.Handshake
    data: bytes
    data_version: int
    def __init__(self, handshake: _Optional[_Union[_event_pb2.Handshake, _Mapping]] = ..., data: _Optional[bytes] = ..., data_version: _Optional[int] = ...) -> None: ...

class Connect(_message.Message):
    __slots__ = ("recovered",)
    RECOVERED_FIELD_NUMBER: _ClassVar[int]
    recovered: bool
    def __init__(self, recovered: bool = ...) -> None: ...

class RoomEvent(_message.Message):
    __slots__ = ("change", "room")
    CHANGE_FIELD_NUMBER: _ClassVar[int]
    ROOM_FIELD_NUMBER: _ClassVar[int]
    change: RoomChange
    room: str
    def __init__(self, change: _Optional[_Union[RoomChange, str]] = ..., room: _Optional[str] = ...) -> None: ...

class Message(_message.Message):
    __slots__ = ("event", "service", "instance_id")
    EVENT_FIELD_NUMBER: _ClassVar[int]
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_ID_FIELD_NUMBER: _ClassVar[int]
    event: _event_pb2.Event
    service: str
    instance_id: str
    def __init__(self, event: _Optional[_Union[_event_pb2.Event, _Mapping]] = ..., service: _Optional[str] = ..., instance_id: _Optional[str] = ...) -> None: ...

class Disconnected(_message.Message):
    __slots__ = ("reason", "rooms")
    REASON_FIELD_NUMBER: _ClassVar[int]
    ROOMS_FIELD_NUMBER: _ClassVar[int]
    reason: str
    rooms: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, reason: _Optional[str] = ..., rooms: _Optional[_Iterable[str]] = ...) -> None: ...

class Action(_message.Message):
    __slots__ = ("result", "command")
    RESULT_FIELD_NUMBER: _ClassVar[int]
    COMMAND_FIELD_NUMBER: _ClassVar[int]
    result: Result
    command: _command_pb2.Command
    def __init__(self, result: _Optional[_Union[Result, _Mapping]] = ..., command: _Optional[_Union[_command_pb2.Command, _Mapping]] = ...) -> None: ...

class Result(_message.Message):
    __slots__ = ("dispatch_id", "ack", "refusal", "failure")
    DISPATCH_ID_FIELD_NUMBER: _ClassVar[int]
    ACK_FIELD_NUMBER: _ClassVar[int]
    REFUSAL_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    dispatch_id: int
    ack: _event_pb2.Ack
    refusal: Refusal
    failure: Failure
    def __init__(self, dispatch_id: _Optional[int] = ..., ack: _Optional[_Union[_event_pb2.Ack, _Mapping]] = ..., refusal: _Optional[_Union[Refusal, _Mapping]] = ..., failure: _Optional[_Union[Failure, _Mapping]] = ...) -> None: ...

class Refusal(_message.Message):
    __slots__ = ("message", "data")
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    message: str
    data: bytes
    def __init__(self, message: _Optional[str] = ..., data: _Optional[bytes] = ...) -> None: ...

class Failure(_message.Message):
    __slots__ = ("message",)
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    message: str
    def __init__(self, message: _Optional[str] = ...) -> None: ...
