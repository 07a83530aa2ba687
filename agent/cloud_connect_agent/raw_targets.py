"""Targets at Procore's API that a file's link leads to: allowed if a raw call to them is."""

from collections.abc import Callable, Sequence

from cloud_connect.calls import PassthroughParams, Source
from cloud_connect_agent.policy import Access
from cloud_connect_agent.procore.passthrough import BodyStart, prepare

__all__ = ["target_check"]


def target_check(
    source: Source, check: Callable[[Sequence[Access]], object]
) -> Callable[[str], None]:
    """Return what refuses a target at the API that a raw call could not have, either."""

    def refuse(target: str) -> None:
        params = PassthroughParams(source=source, method="GET", target=target)
        check(prepare(params, (), BodyStart(data=b"", complete=True)).accesses)

    return refuse
