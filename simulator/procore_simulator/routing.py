"""Routes of the API origin, and finding the one a request means."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, TypeAlias

from procore_simulator.tenancy import Level

if TYPE_CHECKING:
    from procore_simulator.calls import Call
    from procore_simulator.messages import Reply

__all__ = ["Handler", "Match", "Reach", "Route", "RouteTable", "route"]

Handler: TypeAlias = "Callable[[Call], Reply]"


class Reach(Enum):
    """What a route belongs to, hence what must be known and allowed first."""

    SIGNED = "signed"
    """Nothing but a token, not even a company header: links that are signed."""
    PRINCIPAL = "principal"
    COMPANY = "company"
    PROJECT = "project"


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One operation of the API.

    Args:
        template: The path, with ``{name}`` for a segment that varies.
        resource: The ledger's word for what it works on.
        tool: The tool whose level decides, or ``None``.
        level: The lowest level that may use it.
        idempotent: Whether ``Idempotency-Token`` is honoured.
        replay_status: The status of the same answer to a repeated token, if it is another.
        names_company: Whether a company route must name its company beside the header.
    """

    method: str
    template: str
    handler: Handler
    resource: str
    reach: Reach = Reach.PROJECT
    tool: str | None = None
    level: Level = Level.READ
    idempotent: bool = False
    replay_status: int | None = None
    names_company: bool = True

    @property
    def writes(self) -> bool:
        """Whether it changes data."""
        return self.method != "GET"


_LEVELS = {
    "GET": Level.READ,
    "POST": Level.STANDARD,
    "PATCH": Level.STANDARD,
    "DELETE": Level.ADMIN,
}


def route(
    method: str,
    template: str,
    handler: Handler,
    resource: str,
    *,
    tool: str | None = None,
    reach: Reach = Reach.PROJECT,
    level: Level | None = None,
) -> Route:
    """Declare an operation that needs what its verb needs everywhere, unless *level* is told."""
    return Route(
        method=method,
        template=template,
        handler=handler,
        resource=resource,
        reach=reach,
        tool=tool,
        level=_LEVELS[method] if level is None else level,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """The route a request means, and the values of its path's varying segments."""

    route: Route
    params: dict[str, str]


class _Node:
    __slots__ = ("any_segment", "any_suffixes", "children", "routes")

    def __init__(self) -> None:
        self.children: dict[str, _Node] = {}
        self.any_segment: _Node | None = None
        self.any_suffixes: dict[str, _Node] = {}
        self.routes: dict[str, tuple[Route, tuple[str, ...]]] = {}


class RouteTable:
    """A tree of path segments; a fixed segment wins over a varying one."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._root = _Node()
        self.routes = tuple(routes)
        for route in self.routes:
            self._add(route)

    def _add(self, route: Route) -> None:
        node = self._root
        names: list[str] = []
        for segment in route.template.strip("/").split("/"):
            if not segment.startswith("{"):
                node = node.children.setdefault(segment, _Node())
                continue
            name, _, suffix = segment[1:].partition("}")
            names.append(name)
            if suffix:
                node = node.any_suffixes.setdefault(suffix, _Node())
            else:
                if node.any_segment is None:
                    node.any_segment = _Node()
                node = node.any_segment
        if route.method in node.routes:
            raise ValueError(f"{route.method} {route.template} is declared twice")
        node.routes[route.method] = (route, tuple(names))

    def find(self, method: str, path: str) -> Match | tuple[str, ...] | None:
        """Return the route and its path values; else the verbs there are, or ``None``."""
        values: list[str] = []
        node = self._walk(path.strip("/").split("/"), 0, self._root, values)
        if node is None:
            return None
        found = node.routes.get("GET" if method == "HEAD" else method)
        if found is None:
            return tuple(sorted(node.routes))
        route, names = found
        return Match(route=route, params=dict(zip(names, values, strict=True)))

    def _walk(
        self, segments: list[str], depth: int, node: _Node, values: list[str]
    ) -> _Node | None:
        if depth == len(segments):
            return node if node.routes else None
        segment = segments[depth]
        child = node.children.get(segment)
        if child is not None:
            found = self._walk(segments, depth + 1, child, values)
            if found is not None:
                return found
        for suffix, suffixed in node.any_suffixes.items():
            if segment.endswith(suffix):
                values.append(segment.removesuffix(suffix))
                found = self._walk(segments, depth + 1, suffixed, values)
                if found is not None:
                    return found
                values.pop()
        if node.any_segment is not None:
            values.append(segment)
            found = self._walk(segments, depth + 1, node.any_segment, values)
            if found is not None:
                return found
            values.pop()
        return None
