"""``docs/settings.md`` is what the settings' models say."""

import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import BaseModel

from cloud_connect_agent.settings import AgentSettings
from cloud_connect_relay.settings import RelaySettings

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/settings.md"


def test_page_is_up_to_date() -> None:
    script = ROOT / ".ci/settings_page.py"
    made = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=60, check=True
    )
    kept = PAGE.read_text(encoding="utf-8")
    assert kept == made.stdout, "write it: python .ci/settings_page.py > docs/settings.md"


@pytest.mark.parametrize("model", [AgentSettings, RelaySettings])
def test_every_setting_has_a_row_that_says_what_it_is(model: type[BaseModel]) -> None:
    rows = [line.split(" | ") for line in PAGE.read_text(encoding="utf-8").splitlines()]
    told = {row[0].strip("| `"): row[-1].strip("| ") for row in rows if row[0].startswith("| `")}
    for section in model.model_fields.values():
        inner = section.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            for name, field in inner.model_fields.items():
                if "BaseModel" not in str(field.annotation) and "Settings" not in str(
                    field.annotation
                ):
                    assert told[name], name
