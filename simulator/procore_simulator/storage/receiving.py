"""Taking in bytes: a raw segment, or a form whose last part is the file."""

from typing import TYPE_CHECKING

from python_multipart import MultipartParser
from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import parse_options_header

from procore_simulator.messages import Request
from procore_simulator.storage.disk import Disk, Piece, PieceWriter
from procore_simulator.storage.refusals import StorageError
from procore_simulator.storage.uploads import Segment

if TYPE_CHECKING:
    from collections.abc import Callable

    from python_multipart.multipart import MultipartCallbacks

__all__ = ["receive_form", "receive_segment"]

_MAX_FIELD_BYTES = 65_536
_FILE = "file"


def _demand_length(request: Request) -> None:
    if request.header(b"content-length") is None:
        raise StorageError(411, "MissingContentLength", "You must provide Content-Length.")


async def receive_segment(request: Request, disk: Disk, segment: Segment) -> Piece:
    """Store the body of a PUT and hold it to what was declared.

    Raises:
        StorageError: If a header, the length or a hash differs.
        CallerLeftError: If the body ends early.
    """
    _demand_length(request)
    for name, value in segment.headers.items():
        if request.header(name.lower().encode()) != value:
            raise StorageError(
                403, "SignatureDoesNotMatch", f"The header {name} is not as it was signed."
            )
    writer = disk.new_piece()
    try:
        async for data in request.pieces():
            writer.write(data)
    except BaseException:
        writer.discard()
        raise
    piece = writer.finish()
    if piece.sha256 == segment.sha256.lower() and segment.md5 in {None, piece.md5}:
        return piece
    disk.discard(piece)
    if piece.sha256 != segment.sha256.lower():
        raise StorageError(
            400, "XAmzContentSHA256Mismatch", "The body does not have the SHA-256 declared."
        )
    raise StorageError(400, "BadDigest", "The body does not have the MD5 declared.")


class _Form:
    """The fields of a form, and its file once every field is known."""

    def __init__(self, disk: Disk, accept: "Callable[[dict[str, str]], None]") -> None:
        self.fields: dict[str, str] = {}
        self.writer: PieceWriter | None = None
        self._disk = disk
        self._accept = accept
        self._name = ""
        self._header_name = b""
        self._header_value = b""
        self._value = bytearray()
        self._is_over = False

    def callbacks(self) -> "MultipartCallbacks":
        return {
            "on_header_field": self._on_header_field,
            "on_header_value": self._on_header_value,
            "on_header_end": self._on_header_end,
            "on_headers_finished": self._begin,
            "on_part_data": self._on_data,
            "on_part_end": self._end,
        }

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def _on_header_end(self) -> None:
        if self._header_name.lower() == b"content-disposition":
            _, options = parse_options_header(self._header_value)
            self._name = options.get(b"name", b"").decode("utf-8", "replace")
        self._header_name = self._header_value = b""

    def _begin(self) -> None:
        if self._name == _FILE and self.writer is None:
            # What comes after the file is ignored, so the fields must be here.
            self._accept(self.fields)
            self.writer = self._disk.new_piece()

    def _on_data(self, data: bytes, start: int, end: int) -> None:
        if self._is_over:
            return
        if self.writer is not None:
            self.writer.write(memoryview(data)[start:end])
            return
        self._value += data[start:end]
        if len(self._value) > _MAX_FIELD_BYTES:
            raise StorageError(400, "MaxPostPreDataLengthExceeded", "The fields are too large.")

    def _end(self) -> None:
        if self.writer is not None:
            self._is_over = True
        else:
            self.fields[self._name] = self._value.decode("utf-8", "replace")
        self._name = ""
        self._value.clear()


async def receive_form(
    request: Request, disk: Disk, accept: "Callable[[dict[str, str]], None]"
) -> Piece:
    """Store the file of a form, once *accept* has let its fields pass.

    Raises:
        StorageError: If it is no form, has no file, or its fields are refused.
        CallerLeftError: If the body ends early.
    """
    _demand_length(request)
    kind, options = parse_options_header(request.header(b"content-type") or "")
    if kind != b"multipart/form-data":
        raise StorageError(412, "PreconditionFailed", "The body must be multipart/form-data.")
    form = _Form(disk, accept)
    try:
        parser = MultipartParser(options.get(b"boundary", b""), form.callbacks())
        async for data in request.pieces():
            parser.write(data)
        parser.finalize()
    except BaseException as exc:
        if form.writer is not None:
            form.writer.discard()
        if isinstance(exc, MultipartParseError):
            raise StorageError(400, "MalformedPOSTRequest", "The form is malformed.") from exc
        raise
    if form.writer is None:
        raise StorageError(400, "InvalidArgument", "The form needs a part named file, at its end.")
    return form.writer.finish()
