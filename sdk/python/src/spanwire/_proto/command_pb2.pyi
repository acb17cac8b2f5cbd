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
FAULT_CODE_UNSPECIFIED: FaultCode
FAULT_CODE_INVALID: FaultCode
FAULT_CODE_TOO_LARGE: FaultCode
FAULT_CODE_UNIMPLEMENTED: FaultCode
FAULT_CODE_BACKPLANE_UNAVAILABLE: FaultCode
FAULT_CODE_NOT_FOUND: FaultCode

class Command(_message.Message):
    __slots__ = ("id", "emit", "join", "leave", "disconnect")
    ID_FIELD_NUMBER: _ClassVar[int]
    EMIT_FIELD_NUMBER: _ClassVar[int]
    JOIN_FIELD_NUMBER: _ClassVar[int]
    LEAVE_FIELD_NUMBER: _ClassVar[int]
    DISCONNECT_FIELD_NUMBER: _ClassVar[int]
    id: int
    emit: Emit
    join: Join
    leave: Leave
    disconnect: Disconnect
    def __init__(self, id: _Optional[int] = ..., emit: _Optional[_Union[Emit, _Mapping]] = ..., join: _Optional[_Union[Join, _Mapping]] = ..., leave: _Optional[_Union[Leave, _Mapping]] = ..., disconnect: _Optional[_Union[Disconnect, _Mapping]] = ...) -> None: ...

class Emit(_message.Message):
    __slots__ = ("target", "event", "volatile", "no_compress", "want_acks", "ack_timeout_ms")
    TARGET_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    VOLATILE_FIELD_NUMBER: _ClassVar[int]
    NO_COMPRESS_FIELD_NUMBER: _ClassVar[int]
    WANT_ACKS_FIELD_NUMBER: _ClassVar[int]
    ACK_TIMEOUT_MS_FIELD_NUMBER: _ClassVar[int]
    target: _event_pb2.Target
    event: _event_pb2.Event
    volatile: bool
    no_compress: bool
    want_acks: bool
    ack_timeout_ms: int
    def __init__(self, target: _Optional[_Union[_event_pb2.Target, _Mapping]] = ..., event: _Optional[_Union[_event_pb2.Event, _Mapping]] = ..., volatile: bool = ..., no_compress: bool = ..., want_acks: bool = ..., ack_timeout_ms: _Optional[int] = ...) -> None: ...

class Join(_message.Message):
    __slots__ = ("target", "rooms")
    TARGET_FIELD_NUMBER: _ClassVar[int]
    ROOMS_FIELD_NUMBER: _ClassVar[int]
    target: _event_pb2.Target
    rooms: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, target: _Optional[_Union[_event_pb2.Target, _Mapping]] = ..., rooms: _Optional[_Iterable[str]] = ...) -> None: ...

class Leave(_message.Message):
    __slots__ = ("target", "rooms")
    TARGET_FIELD_NUMBER: _ClassVar[int]
    ROOMS_FIELD_NUMBER: _ClassVar[int]
    target: _event_pb2.Target
    rooms: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, target: _Optional[_Union[_event_pb2.Target, _Mapping]] = ..., rooms: _Optional[_Iterable[str]] = ...) -> None: ...

class Disconnect(_message.Message):
    __slots__ = ("target", "close_session")
    TARGET_FIELD_NUMBER: _ClassVar[int]
    CLOSE_SESSION_FIELD_NUMBER: _ClassVar[int]
    target: _event_pb2.Target
    close_session: bool
    def __init__(self, target: _Optional[_Union[_event_pb2.Target, _Mapping]] = ..., close_session: bool = ...) -> None: ...

class Answer(_message.Message):
    __slots__ = ("id", "fault", "sockets", "acks", "missing")
    ID_FIELD_NUMBER: _ClassVar[int]
    FAULT_FIELD_NUMBER: _ClassVar[int]
    SOCKETS_FIELD_NUMBER: _ClassVar[int]
    ACKS_FIELD_NUMBER: _ClassVar[int]
    MISSING_FIELD_NUMBER: _ClassVar[int]
    id: int
    fault: Fault
    sockets: int
    acks: _containers.RepeatedCompositeFieldContainer[SocketAck]
    missing: int
    def __init__(self, id: _Optional[int] = ..., fault: _Optional[_Union[Fault, _Mapping]] = ..., sockets: _Optional[int] = ..., acks: _Optional[_Iterable[_Union[SocketAck, _Mapping]]] = ..., missing: _Optional[int] = ...) -> None: ...

class SocketAck(_message.Message):
    __slots__ = ("socket_id", "ack")
    SOCKET_ID_FIELD_NUMBER: _ClassVar[int]
    ACK_FIELD_NUMBER: _ClassVar[int]
    socket_id: str
    ack: _event_pb2.Ack
    def __init__(self, socket_id: _Optional[str] = ..., ack: _Optional[_Union[_event_pb2.Ack, _Mapping]] = ...) -> None: ...

class Fault(_message.Message):
    __slots__ = ("code", "message")
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    code: FaultCode
    message: str
    def __init__(self, code: _Optional[_Union[FaultCode, str]] = ..., message: _Optional[str] = ...) -> None: ...
