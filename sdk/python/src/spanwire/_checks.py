# SPDX-License-Identifier: Apache-2.0
"""Checks of what callers pass to the public API.

Each check returns what it was given, or raises an error that says what was wrong and what to do.
The broker reports most of these faults late or only in its log, and protobuf names neither the
parameter nor the fix.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

__all__ = [
    "RESERVED",
    "Space",
    "check_callable",
    "check_event",
    "check_flag",
    "check_name",
    "check_namespace",
    "check_registered",
    "check_seconds",
    "check_space",
    "check_whole",
    "names",
    "one_namespace",
    "pattern_source",
]

_C = TypeVar("_C", bound=Callable[..., Any])

# A namespace, or a pattern for many.
Space = str | re.Pattern[str]

_MAX_NAMESPACE = 255  # bytes
RESERVED = frozenset({"connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"})


def check_name(value: Any, what: str, advice: str) -> str:
    """Checks that a value is a string.

    Args:
        value: The value.
        what: The name of the parameter.
        advice: What to pass instead.

    Returns:
        The value.

    Raises:
        TypeError: The value is not a string.
    """
    if not isinstance(value, str):
        raise TypeError(f"{what}: got {type(value).__name__} {value!r:.80}, not a string ({advice})")
    return value


def names(value: str | Iterable[str] | None, what: str = "room") -> tuple[str, ...]:
    """Accepts one name or several.

    Args:
        value: A name, several names, or None for none.
        what: What the names stand for: "room" or "service".

    Returns:
        The names.

    Raises:
        TypeError: The value is neither, or one of several is not a string.
    """
    if type(value) is str:
        return (value,)
    if value is None:
        return ()
    if isinstance(value, str):
        return (str(value),)
    if isinstance(value, (bytes, bytearray, memoryview)) or not isinstance(value, Iterable):
        raise _not_a_name(value, what)
    several = tuple(value)
    for name in several:
        if not isinstance(name, str):
            raise _not_a_name(name, what)
    return several


def _not_a_name(value: Any, what: str) -> TypeError:
    kind = type(value).__name__
    if kind in ("Socket", "RemoteSocket"):
        advice = "pass the socket's id: socket.id"
    elif kind == "Target":
        advice = "pass a target alone, as to=..."
    else:
        advice = f"pass the name of a {what} or several" + (", or socket ids" if what == "room" else "")
    return TypeError(f"{what}: got {kind} {value!r:.80}, not a string ({advice})")


def check_event(event: Any, what: str = "event") -> None:
    """Checks the name of an event or a message that is sent.

    Args:
        event: The name.
        what: "event" or "message".

    Raises:
        TypeError: The name is not a string.
        ValueError: Socket.IO reserves the name.
    """
    if not isinstance(event, str):
        check_name(event, f"{what} name", "pass the name first, then the arguments")
    if event in RESERVED:
        raise ValueError(f"{what} name {event!r}: reserved by Socket.IO itself (choose another name)")


def check_space(namespace: Any) -> Space:
    """Checks that a value is of a type that a namespace can have.

    Args:
        namespace: The namespace, or a compiled pattern.

    Returns:
        The value.

    Raises:
        TypeError: The value is neither.
    """
    if not isinstance(namespace, (str, re.Pattern)):
        raise TypeError(
            f"namespace: got {type(namespace).__name__} {namespace!r:.80}, not a string or a compiled pattern"
            " (pass '/name', or re.compile(...) for several)"
        )
    return namespace


def check_namespace(namespace: str) -> str:
    """Checks the name of a namespace; brokers report a wrong one only to callers that wait.

    Args:
        namespace: The name.

    Returns:
        The name.

    Raises:
        ValueError: No namespace can have the name.
    """
    if namespace and (namespace[0] != "/" or "," in namespace or len(namespace.encode()) > _MAX_NAMESPACE):
        raise ValueError(
            f"namespace {namespace[:_MAX_NAMESPACE]!r}: not a valid name (it must begin with a slash, contain no"
            f" comma and have at most {_MAX_NAMESPACE} bytes)"
        )
    return namespace


def one_namespace(namespace: Any) -> str:
    """Checks that a namespace is a single one, where a pattern is not possible.

    Args:
        namespace: The namespace.

    Returns:
        The namespace.

    Raises:
        TypeError: It is neither a string nor a pattern.
        ValueError: It is a pattern.
    """
    if not isinstance(check_space(namespace), str):
        raise ValueError(
            f"namespace: got the pattern {namespace.pattern!r}, and this needs a single namespace, not a pattern (call it"
            " once for each namespace)"
        )
    return str(namespace)


def pattern_source(pattern: re.Pattern[str]) -> str:
    """Checks a pattern for namespaces.

    Args:
        pattern: The pattern.

    Returns:
        The source of the pattern, which is what the broker is sent.

    Raises:
        ValueError: The pattern has flags.
        TypeError: The pattern matches bytes.
    """
    if not isinstance(pattern.pattern, str):
        raise TypeError("namespace pattern: got a pattern of bytes (compile it from a string)")
    if pattern.flags & ~re.UNICODE:
        flags = re.RegexFlag(pattern.flags & ~re.UNICODE)
        raise ValueError(
            f"namespace pattern {pattern.pattern!r}: cannot have flags, got {flags!r} (the broker is sent the source"
            " alone; write the pattern without flags)"
        )
    return pattern.pattern


def check_registered(name: Any, what: str) -> str:
    """Checks the name that a decorator registers a handler for.

    Args:
        name: The name.
        what: What the name stands for: "event", "message" or "room change".

    Returns:
        The name.

    Raises:
        TypeError: The name is not a string.
    """
    if callable(name):
        raise TypeError(
            f"{what} name: got the function {getattr(name, '__name__', name)!r}, not a string (call the decorator with the"
            f" name of the {what}, as in @service.on('my event'))"
        )
    return check_name(name, f"{what} name", f"pass the name of the {what}, or '*' for all")


def check_seconds(value: Any, what: str = "timeout") -> float | None:
    """Checks a duration.

    Args:
        value: The duration in seconds, or None.
        what: The name of the parameter.

    Returns:
        The value.

    Raises:
        TypeError: The value is not a number.
    """
    if value is None or (isinstance(value, (int, float)) and not isinstance(value, bool)):
        return value
    raise TypeError(f"{what}: got {type(value).__name__} {value!r:.80}, not a number (pass seconds)")


def check_whole(value: Any, what: str, least: int = 0) -> int:
    """Checks a whole number.

    Args:
        value: The number.
        what: The name of the parameter.
        least: The lowest valid number.

    Returns:
        The value.

    Raises:
        TypeError: The value is not a whole number.
        ValueError: The number is too low.
    """
    try:
        number = operator.index(value)
    except TypeError:
        kind = type(value).__name__
        raise TypeError(f"{what}: got {kind} {value!r:.80}, not a whole number (pass an int)") from None
    if number < least:
        raise ValueError(f"{what}: got {number} (pass {least} or more)")
    return number


def check_flag(value: Any, what: str) -> bool:
    """Checks a truth value.

    Args:
        value: The value.
        what: The name of the parameter.

    Returns:
        The value.

    Raises:
        TypeError: The value is not a truth value.
    """
    try:
        return bool(operator.index(value))
    except TypeError:
        kind = type(value).__name__
        raise TypeError(f"{what}: got {kind} {value!r:.80}, not a bool (pass True or False)") from None


def check_callable(value: _C, what: str) -> _C:
    """Checks that a value can be called.

    Args:
        value: The value.
        what: The name of the parameter.

    Returns:
        The value.

    Raises:
        TypeError: The value cannot be called.
    """
    if not callable(value):
        raise TypeError(f"{what}: got {type(value).__name__} {value!r:.80}, not a function (pass a function)")
    return value
