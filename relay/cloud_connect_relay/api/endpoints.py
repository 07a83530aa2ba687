"""What endpoints stand in: their areas, and the application that takes them over."""

from collections.abc import Sequence
from enum import Enum
from typing import TYPE_CHECKING

from fastapi import APIRouter, FastAPI
from starlette.middleware.errors import ServerErrorMiddleware

if TYPE_CHECKING:
    from starlette.types import ASGIApp

__all__ = ["Endpoints", "Routes"]


class Routes(APIRouter):
    """Endpoints of one area; a body that does not say what it is, is read as JSON."""

    def __init__(
        self,
        *,
        prefix: str = "",
        tags: Sequence[str | Enum] = (),
        include_in_schema: bool = True,
    ) -> None:
        super().__init__(
            prefix=prefix,
            tags=list(tags),
            include_in_schema=include_in_schema,
            strict_content_type=False,
        )


class Endpoints(FastAPI):
    """Endpoints that stand behind the border."""

    def take(self, *areas: APIRouter) -> None:
        """Answer what the areas answer, in their order.

        FastAPI's own way would make each route anew for each application, and look for the one
        that answers a request twice.
        """
        for area in areas:
            self.router.routes.extend(area.routes)

    def build_middleware_stack(self) -> "ASGIApp":
        """Let faults through to the border, which answers and logs them, once."""
        outermost = super().build_middleware_stack()
        return outermost.app if isinstance(outermost, ServerErrorMiddleware) else outermost
