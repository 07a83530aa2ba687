"""Targets at Procore's API that a file's link leads to: allowed if a raw call to them is."""

from collections.abc import Callable, Sequence

from cloud_connect.calls import PassthroughParams, Source
from cloud_connect_agent.policy import Access
from cloud_connect_agent.procore.passthrough import BodyStart, prepare

__all__ = ["target_check"]


def target_check(
    source: Source, allow: Callable[[Sequence[Access]], object]
) -> Callable[[str], None]:
    """Return what refuses a target at the API that a raw call could not have, either."""

    def check(target: str) -> None:
        params = PassthroughParams(source=source, method="GET", target=target)
        allow([prepare(params, (), BodyStart(data=b"", complete=True)).access])

    return check
