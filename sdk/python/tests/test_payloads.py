# SPDX-License-Identifier: Apache-2.0
"""Payloads, against the cases that the SDKs share."""

from __future__ import annotations

import json
import math
import pathlib
from typing import Any

import pytest

from spanwire._payloads import Codec, arguments

VECTORS = json.loads((pathlib.Path(__file__).parents[3] / "testdata" / "vectors" / "events.json").read_text())


class Custom:
    """A stand-in for the json module."""

    @staticmethod
    def dumps(obj: Any, **kwargs: Any) -> str:
        return json.dumps(obj, separators=(",", ":"), ensure_ascii=False, **kwargs)

    @staticmethod
    def loads(text: str, **kwargs: Any) -> Any:
        return json.loads(text, **kwargs)


CODECS = [pytest.param(Codec(), id="stdlib"), pytest.param(Codec(Custom()), id="custom")]


def unpacked(value: Any) -> Any:
    """Vector values to Python values."""
    if isinstance(value, dict):
        if set(value) == {"$bytes"}:
            return bytes.fromhex(value["$bytes"])
        return {k: unpacked(v) for k, v in value.items()}
    return [unpacked(v) for v in value] if isinstance(value, list) else value


def attachments(case: dict[str, Any]) -> list[bytes]:
    return [bytes.fromhex(a) for a in case["attachments"]]


# Every case decodes to its values, and the canonical ones encode to exactly the same text.
@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("case", VECTORS["cases"], ids=lambda c: c["name"])
def test_cases(codec: Codec, case: dict[str, Any]) -> None:
    values = unpacked(case["values"])
    assert codec.decode(case["args"].encode(), attachments(case)) == values
    if case["canonical"]:
        text, binary = codec.encode(values)
        assert text.decode() == case["args"]
        assert list(binary) == attachments(case)


# An invalid payload is an error.
@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("case", VECTORS["invalid"], ids=lambda c: c["name"])
def test_invalid(codec: Codec, case: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"."):
        codec.decode(case["args"].encode(), attachments(case))


# Each payload that the broker accepts can be decoded, and sent again.
@pytest.mark.parametrize("case", VECTORS["exact"], ids=lambda c: c["name"])
def test_exact(case: dict[str, Any]) -> None:
    codec = Codec()
    values = codec.decode(case["args"].encode())
    if case["name"] == "beyond the largest double":
        with pytest.raises(TypeError):
            codec.encode(values)
    else:
        assert codec.decode(codec.encode(values)[0]) == values


# A lone None means no argument, a lone tuple several, and any other value itself.
def test_arguments() -> None:
    assert arguments(()) == []
    assert arguments((None,)) == []
    assert arguments(((1, 2),)) == [1, 2]
    assert arguments(([1, 2],)) == [[1, 2]]
    assert arguments((1, None)) == [1, None]


# Values are serialised at once; one that cannot be is a TypeError for the caller.
@pytest.mark.parametrize("codec", CODECS[:1])
def test_unsendable(codec: Codec) -> None:
    circle: list[Any] = []
    circle.append(circle)
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    for value in (object(), {1, 2}, math.nan, math.inf, circle, deep, [b"x", object()], [b"x", math.nan], {b"k": 1}):
        with pytest.raises(TypeError):
            codec.encode([value])
    # Taken apart by hand, since some interpreters cannot free it recursively.
    while deep:
        deep = deep[0]
    for value in (object(), math.nan):
        with pytest.raises(TypeError):
            codec.value(value)
    with pytest.raises(TypeError):
        codec.value(b"x")
    assert codec.value({"a": 1}) == b'{"a":1}'


# Lone surrogates have no UTF-8, so they go as escapes; with attachments too.
def test_lone_surrogate() -> None:
    codec = Codec()
    assert codec.encode(["\ud800é"]) == (b'["\\ud800\\u00e9"]', ())
    text, binary = codec.encode([b"a", "\ud800"])
    assert (text, list(binary)) == (b'[{"_placeholder":true,"num":0},"\\ud800"]', [b"a"])
    assert codec.encode(["\ud800", bytearray(b"a")])[1] == [b"a"]


# Each kind of bytes is an attachment, and a copy.
def test_kinds_of_bytes() -> None:
    changing = bytearray(b"abc")
    text, binary = Codec().encode([memoryview(b"xyz"), changing])
    changing[0] = 0
    assert list(binary) == [b"xyz", b"abc"]
    assert text == b'[{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]'
    assert Codec(Custom()).encode([(b"x", {"k": [b"y"]})])[1] == [b"x", b"y"]
    assert Codec().encode([]) == (b"[]", ())


# A payload that is nested too deeply for Python is an error, not a crash.
def test_too_deep() -> None:
    with pytest.raises(ValueError, match="deep"):
        Codec().decode(b"[" * 100_000 + b"]" * 100_000)
