"""The console's templates, compiled once for a process instead of for each of its relays."""

import functools

from jinja2 import BytecodeCache, Environment
from jinja2.bccache import Bucket

from cloud_connect_relay.console import templating

__all__ = ["keep_templates"]


class _Compiled(BytecodeCache):
    def __init__(self) -> None:
        self._found: dict[tuple[str, str], bytes] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        """Fill the bucket, if its template is known."""
        found = self._found.get((bucket.key, bucket.checksum))
        if found is not None:
            bucket.bytecode_from_string(found)

    def dump_bytecode(self, bucket: Bucket) -> None:
        """Keep what is in the bucket."""
        self._found[bucket.key, bucket.checksum] = bucket.bytecode_to_string()


@functools.cache
def keep_templates() -> None:
    """Have relays of this process share what each would compile for a third of a second."""
    kept = functools.partial(Environment, bytecode_cache=_Compiled())
    vars(templating)["Environment"] = kept
