"""The storage origin: bytes in and out by signed addresses, never with a token."""

import hmac
import re
from urllib.parse import quote

import structlog

from procore_simulator.delivery import Delivery
from procore_simulator.faults import FaultKind, FaultRule
from procore_simulator.ledger import AuditEntry
from procore_simulator.messages import CallerLeftError, Receive, Reply, Request, Scope, Send
from procore_simulator.simulation import Simulation
from procore_simulator.storage.disk import DiskFullError
from procore_simulator.storage.ranges import UnsatisfiableError, requested_range
from procore_simulator.storage.receiving import receive_form, receive_segment
from procore_simulator.storage.refusals import StorageError
from procore_simulator.storage.signing import ExpiredError, SignatureError
from procore_simulator.storage.uploads import START_SECONDS, Upload
from procore_simulator.world import World

__all__ = ["StorageOrigin"]

_PATH = re.compile(r"^/([a-z_]+)/(uploads|objects)(?:/([A-Za-z0-9-]+))?(?:/parts/(\d+))?$")
_RECEIVING = frozenset({"PUT", "POST"})

log = structlog.get_logger()


class StorageOrigin:
    """A host that is not Procore's API: it serves every environment."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        request = Request(scope, receive)
        simulation = self._simulation
        environment = request.path.split("/")[1] if "/" in request.path[1:] else None
        entry = simulation.ledger.arrived(
            request,
            origin="storage",
            environment=environment if environment in simulation.worlds else None,
            now=simulation.clock.now(),
        )
        delivery = Delivery(request, send, entry, simulation.clock)
        try:
            await self._serve(request, entry, delivery)
        except CallerLeftError:
            entry.ended = "disconnected"
        except Exception:
            log.exception("storage_request_failed", path=request.path)
            if entry.status is None:
                await delivery.answer(StorageError(500, "InternalError", "Try again.").reply())
        finally:
            simulation.ledger.left(entry)

    async def _serve(self, request: Request, entry: AuditEntry, delivery: Delivery) -> None:
        rule = self._strike(request, entry)
        fault = None if rule is None else rule.fault
        if rule is not None and fault is not None and rule.prevents_execution:
            if await _read_until(request, entry, fault.size if _cuts(rule) else None):
                await delivery.fail(fault, Reply())
            return
        try:
            reply = await self._answer(request, entry)
        except StorageError as exc:
            await _drain(request, entry)
            reply = exc.reply()
        except DiskFullError as exc:
            await _drain(request, entry)
            reply = StorageError(507, "InsufficientStorage", str(exc)).reply()
        await (delivery.answer(reply) if fault is None else delivery.fail(fault, reply))

    def _strike(self, request: Request, entry: AuditEntry) -> FaultRule | None:
        rule = self._simulation.faults.strike(
            origin="storage",
            environment=entry.environment,
            method=request.method,
            path=entry.path,
            query=entry.query,
        )
        if rule is not None:
            entry.fault = rule.fault.kind.value
        return rule

    async def _answer(self, request: Request, entry: AuditEntry) -> Reply:
        if request.header(b"authorization") is not None:
            self._simulation.ledger.counters["storage_authorizations"] += 1
            raise StorageError(
                400,
                "InvalidArgument",
                "Only one auth mechanism allowed: the address is signed, "
                "and the Authorization header is not wanted here.",
            )
        found = _PATH.match(request.path)
        world = None if found is None else self._simulation.worlds.get(found[1])
        if found is None or world is None:
            raise StorageError(404, "NoSuchBucket", "There is nothing of that name.")
        name, part = found[3], found[4]
        match request.method, found[2]:
            case "PUT", "uploads" if part:
                return await self._put(request, entry, world, name, int(part))
            case "POST", "uploads" if not name:
                return await self._post(request, entry, world)
            case "GET" | "HEAD", "objects" if name:
                return self._get(request, world, name)
            case _:
                raise StorageError(405, "MethodNotAllowed", "Not with this method.")

    def _facts(self, request: Request) -> dict[str, str]:
        query = request.query_string.decode("latin-1")
        now = self._simulation.clock.now()
        try:
            return self._simulation.signer.open(request.path, query, now=now)
        except ExpiredError as exc:
            raise StorageError(403, "AccessDenied", "Request has expired.") from exc
        except SignatureError as exc:
            raise StorageError(
                403, "SignatureDoesNotMatch", "The address is not as it was signed."
            ) from exc

    async def _put(
        self, request: Request, entry: AuditEntry, world: World, upload_id: str, part: int
    ) -> Reply:
        self._facts(request)
        upload = world.uploads.peek(upload_id)
        if upload is None or not upload.takes_bytes() or not 1 <= part <= len(upload.segments):
            raise StorageError(404, "NoSuchUpload", "The upload does not exist, or is complete.")
        segment = upload.segments[part - 1]
        piece = await receive_segment(request, world.objects.disk, segment)
        entry.body_bytes, entry.body_sha256 = piece.size, piece.sha256
        if not upload.takes_bytes():
            world.objects.disk.discard(piece)
            raise StorageError(404, "NoSuchUpload", "The upload does not exist, or is complete.")
        if segment.piece is not None:
            world.objects.disk.discard(segment.piece)
        segment.piece = piece
        entry.executed = True
        return Reply(headers=(("ETag", f'"{piece.md5}"'),))

    async def _post(self, request: Request, entry: AuditEntry, world: World) -> Reply:
        accepted: list[Upload] = []

        def accept(fields: dict[str, str]) -> None:
            accepted.append(self._expected(world, fields))

        piece = await receive_form(request, world.objects.disk, accept)
        entry.body_bytes, entry.body_sha256 = piece.size, piece.sha256
        (upload,) = accepted
        if upload.attached:
            world.objects.disk.discard(piece)
            raise _not_signed()
        if not upload.takes_bytes():
            world.objects.forget(upload.id)
        world.uploads.finish(upload, piece)
        entry.executed = True
        return Reply(status=204, headers=(("ETag", f'"{piece.md5}"'),))

    def _expected(self, world: World, fields: dict[str, str]) -> Upload:
        """Return the upload that a form's fields are for, each as it was given."""
        upload = world.uploads.peek(fields.get("key", "").rpartition("/")[2])
        if upload is None or upload.attached or not upload.fields:
            raise _not_signed()
        for name, value in upload.fields.items():
            if not hmac.compare_digest(fields.get(name, "").encode(), value.encode()):
                raise StorageError(
                    403,
                    "AccessDenied",
                    f"The field {name} is missing before the file, or not as it was given.",
                )
        if self._simulation.clock.now() > upload.created_at + START_SECONDS:
            raise StorageError(403, "AccessDenied", "Invalid according to Policy: Policy expired.")
        return upload

    def _get(self, request: Request, world: World, name: str) -> Reply:
        facts = self._facts(request)
        blob = world.objects.find(name)
        if blob is None:
            raise StorageError(404, "NoSuchKey", "The object does not exist.")
        etag = f'"{blob.etag}"'
        headers: tuple[tuple[str, str], ...] = (
            ("ETag", etag),
            ("Content-Disposition", _disposition(facts["filename"])),
        )
        if request.header(b"if-none-match") == etag:
            return Reply(status=304, headers=headers)
        start, length = 0, blob.size
        status = 200
        if self._simulation.behaviour.storage_ranges:
            headers = (*headers, ("Accept-Ranges", "bytes"))
            condition = request.header(b"if-range")
            asked = request.header(b"range") if condition in {None, etag} else None
            try:
                part = requested_range(asked, blob.size)
            except UnsatisfiableError:
                return Reply(
                    status=416, headers=(*headers, ("Content-Range", f"bytes */{blob.size}"))
                )
            if part is not None:
                status = 206
                start, length = part
                span = f"bytes {start}-{start + length - 1}/{blob.size}"
                headers = (*headers, ("Content-Range", span))
        return Reply(
            status=status,
            content_type=facts["content_type"],
            headers=headers,
            source=blob.read(start, length),
            size=length,
        )


def _not_signed() -> StorageError:
    return StorageError(403, "AccessDenied", "The key is not one that was signed.")


def _disposition(filename: str) -> str:
    plain = re.sub(r'[^\x20-\x7e]|["\\]', "_", filename)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(filename)}"


def _cuts(rule: FaultRule) -> bool:
    return rule.fault.kind in {FaultKind.RESET, FaultKind.DROP}


async def _drain(request: Request, entry: AuditEntry) -> None:
    """Read what is left of a body, so that its sender sees the answer."""
    await _read_until(request, entry, None)


async def _read_until(request: Request, entry: AuditEntry, size: int | None) -> bool:
    """Read up to *size* bytes of a body; tell whether the caller is still there."""
    if request.method not in _RECEIVING or size == 0 or request.is_read:
        return True
    try:
        async for data in request.pieces():
            entry.body_bytes += len(data)
            if size is not None and entry.body_bytes >= size:
                break
    except CallerLeftError:
        entry.ended = "disconnected"
        return False
    return True
