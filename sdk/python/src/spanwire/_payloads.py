# SPDX-License-Identifier: Apache-2.0
"""Payloads: Python values as JSON with placeholders, and the attachments beside it.

A payload is the JSON array of an event's or an ack's arguments. Bytes inside it travel as
attachments, and the array holds `{"_placeholder":true,"num":N}` in their place. `encode` serialises
values at once, so later changes by the caller cannot change what is sent, and a value that cannot
be sent is an error of its caller alone.
"""

from __future__ import annotations

import json as stdlib_json
from collections.abc import Callable, Sequence
from typing import Any, NoReturn, Protocol

__all__ = ["Codec", "Json", "arguments"]

_BINARY = (bytes, bytearray, memoryview)


class Json(Protocol):
    """A module or object that can replace the `json` module, such as `flask.json`."""

    def dumps(self, obj: Any, /, **kwargs: Any) -> str:
        """Serialises a value."""

    def loads(self, text: str, /, **kwargs: Any) -> Any:
        """Parses a text."""


class _FoundBinary(Exception):  # noqa: N818 - a signal, not an error
    """Raised by the quick encoder for bytes, which need the encoder with attachments."""


def arguments(values: Sequence[Any]) -> list[Any]:
    """Converts what was passed to `emit`, or returned by a handler, to a list of arguments.

    Args:
        values: The values after the event's name, or the return value alone.

    Returns:
        Nothing for a lone None, the items of a lone tuple, and otherwise the values as they are; a
        list is one argument.
    """
    if len(values) == 1:
        value = values[0]
        if value is None:
            return []
        if type(value) is tuple:
            return list(value)
        return [value]
    return list(values)


def _quick_default(value: Any) -> NoReturn:
    if isinstance(value, _BINARY):
        raise _FoundBinary
    raise TypeError(f"payload: a value of type {type(value).__name__} cannot be sent as JSON (convert it first)")


# Text is sent as UTF-8 and not as escapes: shorter, and what the reference server does.
_quick_encode = stdlib_json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False, default=_quick_default).encode
_quick_decode = stdlib_json.JSONDecoder().decode


class Codec:
    """Encodes and decodes payloads, with the `json` module or a replacement."""

    def __init__(self, json: Json | None = None) -> None:
        standard: Any = stdlib_json
        if json is not None and not (hasattr(json, "dumps") and hasattr(json, "loads")):
            raise TypeError(f"json: got {type(json).__name__} {json!r:.80} (pass a module or object with dumps and loads)")
        self._json = None if json is standard else json

    def encode(self, values: Sequence[Any]) -> tuple[bytes, Sequence[bytes]]:
        """Serialises the arguments of an event or an ack.

        Args:
            values: The arguments.

        Returns:
            The JSON array in UTF-8, and the attachments in the order of their placeholder numbers.

        Raises:
            TypeError: A value cannot be sent.
        """
        if not values:
            return b"[]", ()
        if self._json is not None:
            return _guarded(self._encode_custom, values)
        try:
            return _quick_encode(values).encode(), ()
        except _FoundBinary:
            return _guarded(_encode_binary, values)
        except (ValueError, RecursionError):
            # Lone surrogates, which have no UTF-8, and values that JSON cannot represent, such as
            # NaN or a circle.
            return _guarded(_encode_escaped, values)

    def decode(self, payload: bytes, attachments: Sequence[bytes] = ()) -> list[Any]:
        """Parses the arguments of an event or an ack.

        Args:
            payload: The JSON array in UTF-8; empty means no arguments.
            attachments: The attachments in the order of their placeholder numbers.

        Returns:
            The arguments.

        Raises:
            ValueError: The payload is not a JSON array, or exceeds a limit of Python.
        """
        if not payload:
            return []
        try:
            if attachments:
                hook = _placeholder_hook(attachments)
                loads = stdlib_json.loads if self._json is None else self._json.loads
                values = loads(payload.decode(), object_hook=hook)
            elif self._json is None:
                values = _quick_decode(payload.decode())
            else:
                values = self._json.loads(payload.decode())
        except RecursionError as error:
            raise ValueError("payload: is nested too deeply") from error
        if type(values) is not list:
            raise ValueError("payload: is not a JSON array")
        return values

    def value(self, value: Any) -> bytes:
        """Serialises one value without attachments, for the data of a refusal or of a socket.

        Args:
            value: The value.

        Returns:
            The JSON value in UTF-8.

        Raises:
            TypeError: The value cannot be sent.
        """
        payload, attachments = self.encode([value])
        if attachments:
            raise TypeError("payload: bytes cannot be sent here, only values that JSON can represent")
        return payload[1:-1]

    def _encode_custom(self, values: Sequence[Any]) -> tuple[bytes, Sequence[bytes]]:
        assert self._json is not None  # noqa: S101 - checked by the caller
        attachments: list[bytes] = []
        text = self._json.dumps(_take_out(values, attachments))
        if "NaN" in text or "Infinity" in text:  # possibly in a string
            stdlib_json.loads(text, parse_constant=_no_constant)
        return text.encode(), attachments


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"JSON cannot represent {name}")


def _guarded(
    encode: Callable[[Sequence[Any]], tuple[bytes, Sequence[bytes]]], values: Sequence[Any]
) -> tuple[bytes, Sequence[bytes]]:
    """Turns the errors of encoders into the one error that callers expect."""
    try:
        return encode(values)
    except (ValueError, RecursionError) as error:
        raise TypeError(f"payload: the value cannot be sent as JSON: {error}") from error


def _encode_binary(values: Sequence[Any]) -> tuple[bytes, Sequence[bytes]]:
    attachments: list[bytes] = []

    def default(value: Any) -> Any:
        if isinstance(value, _BINARY):
            attachments.append(bytes(value))
            return {"_placeholder": True, "num": len(attachments) - 1}
        return _quick_default(value)

    encoder = stdlib_json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False, default=default)
    try:
        return encoder.encode(values).encode(), attachments
    except UnicodeEncodeError:  # lone surrogates have no UTF-8
        attachments.clear()
        encoder = stdlib_json.JSONEncoder(separators=(",", ":"), allow_nan=False, default=default)
        return encoder.encode(values).encode(), attachments


def _encode_escaped(values: Sequence[Any]) -> tuple[bytes, Sequence[bytes]]:
    return stdlib_json.dumps(values, separators=(",", ":"), allow_nan=False, default=_quick_default).encode(), ()


def _take_out(value: Any, attachments: list[bytes]) -> Any:
    """Returns a copy of the value with placeholders for bytes, for replacements of `json`."""
    if isinstance(value, _BINARY):
        attachments.append(bytes(value))
        return {"_placeholder": True, "num": len(attachments) - 1}
    if isinstance(value, dict):
        return {key: _take_out(item, attachments) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_take_out(item, attachments) for item in value]
    return value


def _placeholder_hook(attachments: Sequence[bytes]) -> Callable[[dict[str, Any]], Any]:
    def hook(value: dict[str, Any]) -> Any:
        if value.get("_placeholder") is True:
            number = value.get("num")
            if type(number) is not int or not 0 <= number < len(attachments):
                raise ValueError(f"payload: there is no attachment with the number {number!r}")
            return attachments[number]
        return value

    return hook
