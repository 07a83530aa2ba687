"""The templates: how they are found, and what all of them can use."""

import itertools
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from cloud_connect_relay.console import formats
from cloud_connect_relay.console.accounts import ACCOUNT_TEXTS, ENVIRONMENT_TEXTS

if TYPE_CHECKING:
    from collections.abc import Callable

    from cloud_connect_relay.console.addresses import ConsoleAddresses
    from cloud_connect_relay.console.assets import Assets

__all__ = ["build_templates"]

# Each holds macros; all of them together are ``ui`` in every template.
_MACROS: Final = ("icons", "values", "page", "forms", "table", "charts")


def build_templates(
    *, addresses: "ConsoleAddresses", assets: "Assets", clock: "Callable[[], float]"
) -> Environment:
    """Return the console's templates."""
    templates = Environment(
        loader=PackageLoader("cloud_connect_relay.console"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    told = formats.Formats(clock)
    templates.filters.update(
        ago=told.ago,
        absolute=told.absolute,
        iso=told.iso,
        duration=formats.duration,
        milliseconds=formats.milliseconds,
        size=formats.size,
        count=formats.count,
        share=formats.share,
        environment=lambda name: ENVIRONMENT_TEXTS.get(name, name),
        account=lambda state: ACCOUNT_TEXTS.get(state, state),
    )
    numbers = itertools.count(1)
    ui = SimpleNamespace()
    templates.globals.update(
        url=addresses.url,
        static=lambda name: addresses.url(assets.path(name)),
        unique=lambda: f"u{next(numbers)}",
        ui=ui,
    )
    for name in _MACROS:
        module: Any = templates.get_template(f"ui/{name}.html").module
        for exported, macro in vars(module).items():
            if not exported.startswith("_"):
                setattr(ui, exported, macro)
    return templates
