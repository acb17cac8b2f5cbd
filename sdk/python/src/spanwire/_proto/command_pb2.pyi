from . import event_pb2 as _event_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class FaultCode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FAULT_CODE_UNSPECIFIED: _ClassVar[FaultCode]
    FAULT_CODE_INVALID: _ClassVar[FaultCode]
    FAULT_CODE_TOO_LARGE: _ClassVar[FaultCode]
    FAULT_CODE_UNIMPLEMENTED: _ClassVar[FaultCode]
    FAULT_CODE_BACKPLANE_UNAVAILABLE: _ClassVar[FaultCode]
    FAULT_CODE_NOT_FOUND: _ClassVar[FaultCode]
    FAULT_CODE_CONFLICT: _ClassVar[FaultCode]
    FAULT_CODE_PERMISSION_DENIED: _ClassVar[FaultCode]
FAULT_CODE_UNSPECIFIED: FaultCode
FAULT_CODE_INVALID: FaultCode
FAULT_CODE_TOO_LARGE: FaultCode
FAULT_CODE_UNIMPLEMENTED: FaultCode
FAULT_CODE_BACKPLANE_UNAVAILABLE: FaultCode
FAULT_CODE_NOT_FOUND: FaultCode
FAULT_CODE_CONFLICT: FaultCode
FAULT_CODE_PERMISSION_DENIED: FaultCode

class Command(_message.Message):
    __slots__ = ("id", "emit", "join", "leave", "disconnect", "fetch_sockets", "list_rooms", "set_data", "server_side_emit")
    ID_FIELD_NUMBER: _ClassVar[int]
    EMIT_FIELD_NUMBER: _ClassVar[int]
    JOIN_FIELD_NUMBER: _ClassVar[int]
    LEAVE_FIELD_NUMBER: _ClassVar[int]
    DISCONNECT_FIELD_NUMBER: _ClassVar[int]
    FETCH_SOCKETS_FIELD_NUMBER: _ClassVar[int]
    LIST_ROOMS_FIELD_NUMBER: _ClassVar[int]
    SET_DATA_FIELD_NUMBER: _ClassVar[int]
    SERVER_SIDE_EMIT_FIELD_NUMBER: _ClassVar[int]
    id: int
    emit: Emit
    join: Join
    leave: Leave
    disconnect: Disconnect
    fetch_sockets: FetchSockets
    list_rooms: ListRooms
    set_data: SetData
    server_side_emit: ServerSideEmit
    def __init__(self, id: _Optional[int] = ..., emit: _Optional[_Union[Emit, _Mapping]] = ..., join: _Optional[_Union[Join, _Mapping]] = ..., leave: _Optional[_Union[Leave, _Mapping]] = ..., disconnect: _Optional[_Union[Disconnect, _Mapping]] = ..., fetch_sockets: _Optional[_Union[FetchSockets, _Mapping]] = ..., list_rooms: _Optional[_Union[ListRooms, _Mapping]] = ..., set_data: _Optional[_Union[SetData, _Mapping]] = ..., server_side_emit: _Optional[_Union[ServerSideEmit, _Mapping]] = ...) -> None: ...

class Emit(_message.Message):
    __slots__ = ("target", "event", "volatile", "no_compress", "want_acks", "ack_timeout_ms", "want_count")
    TARGET_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    VOLATILE_FIELD_NUMBER: _ClassVar[int]
    NO_COMPRESS_FIELD_NUMBER: _ClassVar[int]
    WANT_ACKS_FIELD_NUMBER: _ClassVar[int]
    ACK_TIMEOUT_MS_FIELD_NUMBER: _ClassVar[int]
    WANT_COUNT_FIELD_NUMBER: _ClassVar[int]
    target: _event_pb2.Target
    event: _event_pb2.Event
    volatile: bool
    no_compress: bool
    want_acks: bool
    ack_timeout_ms: int
    want_count: bool
    def __init__(self, target: _Optional[_Union[_event_pb2.Target, _Mapping]] = ..., event: _Optional[_Union[_event_pb2.Event, _Mapping]] = ..., volatile: bool = ..., no_compress: bool = ..., want_acks: bool = ..., ack_timeout_ms: _Optional[int] = ..., want_count: bool = ...) -> None: ...

class Join(_message.Message):
    __slots__ = ("target", "rooms", "want_count")
    TARGET_FIELD_NUMBER: _ClassVar[int]
    ROOMS_FIELD_NUMBER: _ClassVar[int]
    WANT_COUNT_FIELD_NUMBER: _ClassVar[int]
    target: _event_pb2.Target
    rooms: _containers.RepeatedScalarFieldContainer[str]
    want_count: bool
    def __init__(self, target: _Optional[_Union[_event_pb2.Target, _Mapping]] = ..., rooms: _Optional[_Iterable[str]] = ..., want_count: bool = ...) -> None: ...

class Leave(_message.Message):
    __slots__ = ("target", "rooms", "want_count")
    TARGET_FIELD_NUMBER: _ClassVar[int]
    ROOMS_FIELD_NUMBER: _ClassVar[int]
    WANT_COUNT_FIELD_NUMBER: _ClassVar[int]
    target: _event_pb2.Target
    rooms: _containers.RepeatedScalarFieldContainer[str]
    want_count: bool
    def __init__(self, target: _Optional[_Union[_event_pb2.Target, _Mapping]] = ..., rooms: _Optional[_Iterable[str]] = ..., want_count: bool = ...) -> None: ...

class Disconnect(_message.Message):
    __slots__ = ("target", "close_session", "want_count")
    TARGET_FIELD_NUMBER: _ClassVar[int]
    CLOSE_SESSION_FIELD_NUMBER: _ClassVar[int]
    WANT_COUNT_FIELD_NUMBER: _ClassVar[int]
    target: _event_pb2.Target
    close_session: bool
    want_count: bool
    def __init__(self, target: _Optional[_Union[_event_pb2.Target, _Mapping]] = ..., close_session: bool = ..., want_count: bool = ...) -> None: ...

class FetchSockets(_message.Message):
    __slots__ = ("target", "timeout_ms", "limit")
    TARGET_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_MS_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    target: _event_pb2.Target
    timeout_ms: int
    limit: int
    def __init__(self, target: _Optional[_Union[_event_pb2.Target, _Mapping]] = ..., timeout_ms: _Optional[int] = ..., limit: _Optional[int] = ...) -> None: ...

class ListRooms(_message.Message):
    __slots__ = ("namespace", "include_own", "local", "timeout_ms")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_OWN_FIELD_NUMBER: _ClassVar[int]
    LOCAL_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_MS_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    include_own: bool
    local: bool
    timeout_ms: int
    def __init__(self, namespace: _Optional[str] = ..., include_own: bool = ..., local: bool = ..., timeout_ms: _Optional[int] = ...) -> None: ...

class SetData(_message.Message):
    __slots__ = ("namespace", "socket_id", "data", "if_version")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    SOCKET_ID_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    IF_VERSION_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    socket_id: str
    data: bytes
    if_version: int
    def __init__(self, namespace: _Optional[str] = ..., socket_id: _Optional[str] = ..., data: _Optional[bytes] = ..., if_version: _Optional[int] = ...) -> None: ...

class ServerSideEmit(_message.Message):
    __slots__ = ("namespace", "services", "event", "want_acks", "ack_timeout_ms")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    SERVICES_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    WANT_ACKS_FIELD_NUMBER: _ClassVar[int]
    ACK_TIMEOUT_MS_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    services: _containers.RepeatedScalarFieldContainer[str]
    event: _event_pb2.Event
    want_acks: bool
    ack_timeout_ms: int
    def __init__(self, namespace: _Optional[str] = ..., services: _Optional[_Iterable[str]] = ..., event: _Optional[_Union[_event_pb2.Event, _Mapping]] = ..., want_acks: bool = ..., ack_timeout_ms: _Optional[int] = ...) -> None: ...

class Answer(_message.Message):
    __slots__ = ("id", "fault", "sockets", "acks", "missing", "found", "rooms", "instance_acks", "silent_replicas", "more", "truncated", "data_version", "data", "other_replicas", "dropped")
    ID_FIELD_NUMBER: _ClassVar[int]
    FAULT_FIELD_NUMBER: _ClassVar[int]
    SOCKETS_FIELD_NUMBER: _ClassVar[int]
    ACKS_FIELD_NUMBER: _ClassVar[int]
    MISSING_FIELD_NUMBER: _ClassVar[int]
    FOUND_FIELD_NUMBER: _ClassVar[int]
    ROOMS_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_ACKS_FIELD_NUMBER: _ClassVar[int]
    SILENT_REPLICAS_FIELD_NUMBER: _ClassVar[int]
    MORE_FIELD_NUMBER: _ClassVar[int]
    TRUNCATED_FIELD_NUMBER: _ClassVar[int]
    DATA_VERSION_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    OTHER_REPLICAS_FIELD_NUMBER: _ClassVar[int]
    DROPPED_FIELD_NUMBER: _ClassVar[int]
    id: int
    fault: Fault
    sockets: int
    acks: _containers.RepeatedCompositeFieldContainer[SocketAck]
    missing: int
    found: _containers.RepeatedCompositeFieldContainer[SocketInfo]
    rooms: _containers.RepeatedCompositeFieldContainer[RoomInfo]
    instance_acks: _containers.RepeatedCompositeFieldContainer[InstanceAck]
    silent_replicas: _containers.RepeatedScalarFieldContainer[str]
    more: bool
    truncated: bool
    data_version: int
    data: bytes
    other_replicas: int
    dropped: int
    def __init__(self, id: _Optional[int] = ..., fault: _Optional[_Union[Fault, _Mapping]] = ..., sockets: _Optional[int] = ..., acks: _Optional[_Iterable[_Union[SocketAck, _Mapping]]] = ..., missing: _Optional[int] = ..., found: _Optional[_Iterable[_Union[SocketInfo, _Mapping]]] = ..., rooms: _Optional[_Iterable[_Union[RoomInfo, _Mapping]]] = ..., instance_acks: _Optional[_Iterable[_Union[InstanceAck, _Mapping]]] = ..., silent_replicas: _Optional[_Iterable[str]] = ..., more: bool = ..., truncated: bool = ..., data_version: _Optional[int] = ..., data: _Optional[bytes] = ..., other_replicas: _Optional[int] = ..., dropped: _Optional[int] = ...) -> None: ...

class SocketInfo(_message.Message):
    __slots__ = ("socket_id", "rooms", "handshake", "data", "data_version", "replica", "waiting", "transport")
    SOCKET_ID_FIELD_NUMBER: _ClassVar[int]
    ROOMS_FIELD_NUMBER: _ClassVar[int]
    HANDSHAKE_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    DATA_VERSION_FIELD_NUMBER: _ClassVar[int]
    REPLICA_FIELD_NUMBER: _ClassVar[int]
    WAITING_FIELD_NUMBER: _ClassVar[int]
    TRANSPORT_FIELD_NUMBER: _ClassVar[int]
    socket_id: str
    rooms: _containers.RepeatedScalarFieldContainer[str]
    handshake: _event_pb2.Handshake
    data: bytes
    data_version: int
    replica: str
    waiting: _containers.RepeatedCompositeFieldContainer[SocketWait]
    transport: str
    def __init__(self, socket_id: _Optional[str] = ..., rooms: _Optional[_Iterable[str]] = ..., handshake: _Optional[_Union[_event_pb2.Handshake, _Mapping]] = ..., data: _Optional[bytes] = ..., data_version: _Optional[int] = ..., replica: _Optional[str] = ..., waiting: _Optional[_Iterable[_Union[SocketWait, _Mapping]]] = ..., transport: _Optional[str] = ...) -> None: ...

class SocketWait(_message.Message):
    __slots__ = ("service", "events", "unread")
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    UNREAD_FIELD_NUMBER: _ClassVar[int]
    service: str
    events: int
    unread: bool
    def __init__(self, service: _Optional[str] = ..., events: _Optional[int] = ..., unread: bool = ...) -> None: ...

class RoomInfo(_message.Message):
    __slots__ = ("name", "sockets")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SOCKETS_FIELD_NUMBER: _ClassVar[int]
    name: str
    sockets: int
    def __init__(self, name: _Optional[str] = ..., sockets: _Optional[int] = ...) -> None: ...

class InstanceAck(_message.Message):
    __slots__ = ("service", "instance_id", "ack")
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_ID_FIELD_NUMBER: _ClassVar[int]
    ACK_FIELD_NUMBER: _ClassVar[int]
    service: str
    instance_id: str
    ack: _event_pb2.Ack
    def __init__(self, service: _Optional[str] = ..., instance_id: _Optional[str] = ..., ack: _Optional[_Union[_event_pb2.Ack, _Mapping]] = ...) -> None: ...

class SocketAck(_message.Message):
    __slots__ = ("socket_id", "ack")
    SOCKET_ID_FIELD_NUMBER: _ClassVar[int]
    ACK_FIELD_NUMBER: _ClassVar[int]
    socket_id: str
    ack: _event_pb2.Ack
    def __init__(self, socket_id: _Optional[str] = ..., ack: _Optional[_Union[_event_pb2.Ack, _Mapping]] = ...) -> None: ...

class Fault(_message.Message):
    __slots__ = ("code", "message", "event", "namespace", "bytes")
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    code: FaultCode
    message: str
    event: str
    namespace: str
    bytes: int
    def __init__(self, code: _Optional[_Union[FaultCode, str]] = ..., message: _Optional[str] = ..., event: _Optional[str] = ..., namespace: _Optional[str] = ..., bytes: _Optional[int] = ...) -> None: ...
