from . import command_pb2 as _command_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ExecuteRequest(_message.Message):
    __slots__ = ("command",)
    COMMAND_FIELD_NUMBER: _ClassVar[int]
    command: _command_pb2.Command
    def __init__(self, command: _Optional[_Union[_command_pb2.Command, _Mapping]] = ...) -> None: ...

class ExecuteResponse(_message.Message):
    __slots__ = ("answer",)
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    answer: _command_pb2.Answer
    def __init__(self, answer: _Optional[_Union[_command_pb2.Answer, _Mapping]] = ...) -> None: ...

class EmitRequest(_message.Message):
    __slots__ = ("emit",)
    EMIT_FIELD_NUMBER: _ClassVar[int]
    emit: _command_pb2.Emit
    def __init__(self, emit: _Optional[_Union[_command_pb2.Emit, _Mapping]] = ...) -> None: ...

class EmitResponse(_message.Message):
    __slots__ = ("sockets", "acks", "missing")
    SOCKETS_FIELD_NUMBER: _ClassVar[int]
    ACKS_FIELD_NUMBER: _ClassVar[int]
    MISSING_FIELD_NUMBER: _ClassVar[int]
    sockets: int
    acks: _containers.RepeatedCompositeFieldContainer[_command_pb2.SocketAck]
    missing: int
    def __init__(self, sockets: _Optional[int] = ..., acks: _Optional[_Iterable[_Union[_command_pb2.SocketAck, _Mapping]]] = ..., missing: _Optional[int] = ...) -> None: ...
