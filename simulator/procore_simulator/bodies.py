"""Request bodies: JSON, multipart and urlencoded bracket form, all to one nested object."""

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast
from urllib.parse import parse_qsl

import orjson
from python_multipart import MultipartParser
from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import parse_options_header

from procore_simulator.failures import ApiError, bad_request
from procore_simulator.messages import Json, JsonObject

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

__all__ = ["UploadedPart", "nest", "parse_body", "parse_multipart"]

_BRACKET = re.compile(r"\[([^\]]*)\]")


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadedPart:
    """A file that came inside a multipart body."""

    filename: str
    content_type: str
    size: int
    sha256: str
    data: bytes


def parse_body(body: bytes, content_type: str | None) -> JsonObject:
    """Decode *body* by its type; no body is an empty object.

    Raises:
        ApiError: 400 when it is malformed, 415 when its type is none of the three.
    """
    if not body:
        return {}
    kind, options = parse_options_header(content_type or "application/json")
    if kind == b"application/x-www-form-urlencoded":
        pairs = parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True)
        return nest(pairs)
    if kind == b"multipart/form-data":
        return nest(parse_multipart(body, options.get(b"boundary", b"")))
    if kind.endswith(b"json") or kind == b"text/plain":
        try:
            value = orjson.loads(body)
        except orjson.JSONDecodeError as exc:
            raise bad_request("There was a problem in the JSON you submitted") from exc
        if not isinstance(value, dict):
            raise bad_request("The request body must be a JSON object")
        return cast("JsonObject", value)  # orjson makes text keys only
    message = f"Unsupported media type: {kind.decode('latin-1')}"
    raise ApiError(415, {"code": 415, "message": message}, message=message)


def nest(pairs: list[tuple[str, Json]]) -> JsonObject:
    """Turn ``rfi[question][body]`` and ``ids[]`` keys into nested objects and arrays."""
    root: JsonObject = {}
    for key, value in pairs:
        head = key.partition("[")[0]
        path = [head, *_BRACKET.findall(key[len(head) :])]
        _place(root, path, value)
    return root


def _place(target: JsonObject, path: list[str], value: Json) -> None:
    name, rest = path[0], path[1:]
    if not rest:
        target[name] = value
    elif rest[0] == "":
        array = target.setdefault(name, [])
        if not isinstance(array, list):
            return
        if len(rest) == 1:
            array.append(value)
            return
        # a[][b]=1&a[][c]=2: a repeated inner key starts the next element, as Rack does
        if not array or not isinstance(array[-1], dict) or rest[1] in array[-1]:
            array.append({})
        _place(array[-1], rest[1:], value)
    else:
        inner = target.setdefault(name, {})
        if isinstance(inner, dict):
            _place(inner, rest, value)


class _PartCollector:
    """Gathers the parts the multipart parser reports."""

    def __init__(self) -> None:
        self.pairs: list[tuple[str, Json]] = []
        self._header_name = b""
        self._header_value = b""
        self._headers: dict[bytes, bytes] = {}
        self._data = bytearray()

    def callbacks(self) -> "MultipartCallbacks":
        return {
            "on_part_begin": self._begin,
            "on_part_data": self._on_data,
            "on_part_end": self._end,
            "on_header_field": self._on_header_field,
            "on_header_value": self._on_header_value,
            "on_header_end": self._on_header_end,
        }

    def _begin(self) -> None:
        self._headers = {}
        self._data = bytearray()

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def _on_header_end(self) -> None:
        self._headers[self._header_name.lower()] = self._header_value
        self._header_name = b""
        self._header_value = b""

    def _on_data(self, data: bytes, start: int, end: int) -> None:
        self._data += data[start:end]

    def _end(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        name = options.get(b"name", b"").decode("utf-8", "replace")
        data = bytes(self._data)
        if b"filename" in options:
            part = UploadedPart(
                filename=options[b"filename"].decode("utf-8", "replace"),
                content_type=self._headers.get(b"content-type", b"").decode("latin-1"),
                size=len(data),
                sha256=hashlib.sha256(data).hexdigest(),
                data=data,
            )
            self.pairs.append((name, part))
        else:
            self.pairs.append((name, data.decode("utf-8", "replace")))


def parse_multipart(body: bytes, boundary: bytes) -> list[tuple[str, Json]]:
    """Split a multipart body into names with text or ``UploadedPart`` values.

    Raises:
        ApiError: 400 when the body is not what its boundary promises.
    """
    collector = _PartCollector()
    try:
        parser = MultipartParser(boundary, collector.callbacks())
        parser.write(body)
        parser.finalize()
    except MultipartParseError as exc:
        raise bad_request("The multipart body is malformed") from exc
    return collector.pairs
