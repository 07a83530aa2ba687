"""A queue without I/O in which nobody waits for somebody else's flood: deficit round robin."""

from collections import OrderedDict
from collections.abc import Callable
from enum import IntEnum
from typing import Any, Final, Generic, TypeVar

__all__ = ["FairQueue", "Urgency"]

_T = TypeVar("_T")

_COST_BYTES: Final = 64 * 1024  # of a body that cost as much as one more call
_MAX_COST: Final = 16  # a long body waits no more than so many rounds


class Urgency(IntEnum):
    """Who goes first among the calls of one key; the last of them wait longest."""

    TEST = 0
    PERSON = 1
    BULK = 2


class _Waiting(Generic[_T]):
    __slots__ = ("cost", "item", "key", "size", "tenant", "urgency")

    def __init__(self, item: _T, *, tenant: str, key: str, size: int, urgency: Urgency) -> None:
        self.item: Final = item
        self.tenant: Final = tenant
        self.key: Final = key
        self.size: Final = size
        self.urgency: Final = urgency
        self.cost: Final = min(_MAX_COST, 1 + size // _COST_BYTES)


class _Flow(Generic[_T]):
    """What waits of one key, the urgent first, else in order of arrival."""

    __slots__ = ("_lines", "bytes")

    def __init__(self) -> None:
        self._lines: Final[tuple[dict[int, _Waiting[_T]], ...]] = tuple({} for _ in Urgency)
        self.bytes = 0

    def __len__(self) -> int:
        return sum(map(len, self._lines))

    def newest(self, *, least_size: int) -> int:
        """Return the number of what came last and is so large, of the least urgent."""
        return next(
            number
            for line in reversed(self._lines)
            for number, waiting in reversed(line.items())
            if waiting.size >= least_size
        )

    def add(self, number: int, waiting: _Waiting[_T]) -> None:
        self._lines[waiting.urgency][number] = waiting
        self.bytes += waiting.size

    def remove(self, number: int, waiting: _Waiting[_T]) -> None:
        del self._lines[waiting.urgency][number]
        self.bytes -= waiting.size

    def head(self, least: Urgency) -> tuple[int, _Waiting[_T]] | None:
        for line in self._lines[: least + 1]:
            if line:
                return next(iter(line.items()))
        return None


_Weight = Callable[["_Flow[Any] | _Tenant[Any]"], int]


def _bytes_of(waiting: "_Flow[Any] | _Tenant[Any]") -> int:
    """Return the bytes that wait beside others of the same key: one body alone is no flood."""
    return waiting.bytes if isinstance(waiting, _Tenant) or len(waiting) > 1 else 0


class _Tenant(Generic[_T]):
    """What waits of one subscription, key by key."""

    __slots__ = ("flows", "ring")

    def __init__(self) -> None:
        self.flows: Final[dict[str, _Flow[_T]]] = {}
        self.ring: Final = _Ring()

    def __len__(self) -> int:
        return sum(map(len, self.flows.values()))

    @property
    def bytes(self) -> int:
        return sum(map(_bytes_of, self.flows.values()))

    def most(self, weight: "_Weight") -> _Flow[_T]:
        return max(self.flows.values(), key=weight)

    def head(self, least: Urgency) -> tuple[int, _Waiting[_T]] | None:
        flows = self.flows
        if len(flows) == 1:  # nobody to be fair to
            return next(iter(flows.values())).head(least)
        heads = {name: flow.head(least) for name, flow in flows.items()}
        name = self.ring.next({name: head[1].cost for name, head in heads.items() if head})
        return None if name is None else heads[name]


class _Ring:
    """Whose turn it is: each round gives everybody the same credit, and a turn costs some."""

    __slots__ = ("_credit",)

    def __init__(self) -> None:
        self._credit: Final[OrderedDict[str, int]] = OrderedDict()  # in the order of turns

    def join(self, name: str) -> None:
        self._credit.setdefault(name, 0)

    def leave(self, name: str) -> None:
        del self._credit[name]  # whoever has nothing waiting saves nothing up

    def next(self, costs: dict[str, int]) -> str | None:
        """Return who is served next, given what it would cost each of those who may be."""
        while costs:
            name, credit = next(iter(self._credit.items()))
            cost = costs.get(name)
            if cost is not None:
                if credit >= cost:
                    return name
                self._credit[name] = credit + 1
            self._credit.move_to_end(name)
        return None

    def pay(self, name: str, cost: int) -> None:
        self._credit[name] -= cost


class FairQueue(Generic[_T]):
    """Serves subscriptions in turn, and the keys of each in turn.

    A part of the room is kept for urgent calls: bulk fills it last. When there is none, who waits
    with less may take a place of who waits with most.

    Args:
        max_calls: Items that may wait.
        max_bytes: Bytes of their bodies; one that is alone may be longer.

    Attributes:
        bytes: Of the bodies that wait.
    """

    def __init__(self, *, max_calls: int, max_bytes: int) -> None:
        self._max_calls: Final = max_calls
        self._max_bytes: Final = max_bytes
        self._reserve: Final = max_calls // 16
        self._tenants: Final[dict[str, _Tenant[_T]]] = {}
        self._ring: Final = _Ring()
        self._waiting: Final[dict[int, _Waiting[_T]]] = {}
        self._numbers = 0
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def has_room(self, size: int, urgency: Urgency) -> bool:
        """Whether an item of *size* bytes may wait."""
        if not self._has_place(urgency):
            return False
        return self.bytes + size <= self._max_bytes or not self._waiting

    def _has_place(self, urgency: Urgency) -> bool:
        return len(self._waiting) < self._max_calls - self._reserve * urgency

    def add(self, item: _T, *, tenant: str, key: str, size: int, urgency: Urgency) -> int | None:
        """Let *item* wait and return its number; ``None`` if there is no room for it."""
        if not self.has_room(size, urgency):
            return None
        self._numbers += 1
        number = self._numbers
        self._enter(number, _Waiting(item, tenant=tenant, key=key, size=size, urgency=urgency))
        return number

    def make_room(self, size: int, urgency: Urgency, *, tenant: str, key: str) -> list[_T] | None:
        """Take the places of who waits with most, for an item of one who waits with less.

        Most of what is short: calls, or bytes of their bodies.

        Returns:
            Those who lost theirs; ``None``, and nobody does, if that would not make room.
        """
        gone: list[tuple[int, _Waiting[_T]]] = []
        while not self.has_room(size, urgency):
            if not self.may_displace(size, urgency, tenant=tenant, key=key):
                for number, waiting in reversed(gone):
                    self._enter(number, waiting)
                return None
            number = self._newest_of_most(urgency)
            gone.append((number, self._waiting[number]))
            self.remove(number)
        return [waiting.item for _, waiting in gone]

    def may_displace(self, size: int, urgency: Urgency, *, tenant: str, key: str) -> bool:
        """Whether somebody waits with so much more that it is fair to take a place of him."""
        if not self._tenants:
            return False
        weight, added = (_bytes_of, size) if self._has_place(urgency) else (len, 1)
        widest = max(self._tenants.values(), key=weight)
        own = self._tenants.get(tenant)
        if own is widest:
            flow = widest.flows.get(key)
            return weight(widest.most(weight)) > (0 if flow is None else weight(flow)) + added
        return weight(widest) > (0 if own is None else weight(own)) + added

    def remove(self, number: int) -> None:
        """Let the item with *number* wait no more; without effect if it does not."""
        waiting = self._waiting.pop(number, None)
        if waiting is None:
            return
        self.bytes -= waiting.size
        tenant = self._tenants[waiting.tenant]
        flow = tenant.flows[waiting.key]
        flow.remove(number, waiting)
        if not flow:
            del tenant.flows[waiting.key]
            tenant.ring.leave(waiting.key)
        if not tenant.flows:
            del self._tenants[waiting.tenant]
            self._ring.leave(waiting.tenant)

    def _enter(self, number: int, waiting: _Waiting[_T]) -> None:
        self._waiting[number] = waiting
        self.bytes += waiting.size
        of_tenant = self._tenants.setdefault(waiting.tenant, _Tenant())
        of_tenant.flows.setdefault(waiting.key, _Flow()).add(number, waiting)
        of_tenant.ring.join(waiting.key)
        self._ring.join(waiting.tenant)

    def _newest_of_most(self, urgency: Urgency) -> int:
        by_bytes = self._has_place(urgency)
        weight: _Weight = _bytes_of if by_bytes else len
        widest = max(self._tenants.values(), key=weight)
        return widest.most(weight).newest(least_size=int(by_bytes))

    def take(self, least: Urgency = Urgency.BULK) -> _T | None:
        """Return the next item in turn, of those at least so urgent; it waits no more."""
        tenants = self._tenants
        if len(tenants) == 1:
            head = next(iter(tenants.values())).head(least)
        else:
            heads = {name: tenant.head(least) for name, tenant in tenants.items()}
            name = self._ring.next({name: head[1].cost for name, head in heads.items() if head})
            head = None if name is None else heads[name]
        if head is None:
            return None
        number, waiting = head
        if len(tenants) > 1:
            self._ring.pay(waiting.tenant, waiting.cost)
        of_tenant = tenants[waiting.tenant]
        if len(of_tenant.flows) > 1:
            of_tenant.ring.pay(waiting.key, waiting.cost)
        self.remove(number)
        return waiting.item
