"""A query as text to copy: for the platform, for a shell, for Python."""

import json
import pprint
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Snippets", "snippets_of"]

_PYTHON = """\
import asyncio
import os

from cloud_connect.client import CloudConnect

QUERY = {query}


async def main() -> None:
    key = os.environ["CLOUD_CONNECT_KEY"]
    async with CloudConnect.open("{relay}", key) as relay:
        result = await relay.data_source("{datasource}").query(QUERY)
        for item in result.items:
            print(item)


asyncio.run(main())
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snippets:
    """The same query in three languages; none holds a secret."""

    query: str
    http: str
    python: str


def snippets_of(document: Mapping[str, Any], *, relay: str, datasource_id: str) -> Snippets:
    """Return the texts of a query.

    Args:
        relay: The relay's address, as callers know it.
    """
    query = json.dumps(document, indent=2, ensure_ascii=False)
    url = shlex.quote(f"{relay}/api/datasources/{datasource_id}/query")
    lines = [
        f"curl -sS -X POST {url}",
        '-H "Authorization: Bearer $CLOUD_CONNECT_KEY"',
        "-H 'Content-Type: application/json'",
        f"-d {shlex.quote(query)}",
    ]
    written = pprint.pformat(dict(document), sort_dicts=False, width=88)
    return Snippets(
        query=query,
        http=" \\\n  ".join(lines),
        python=_PYTHON.format(query=written, relay=relay, datasource=datasource_id),
    )
