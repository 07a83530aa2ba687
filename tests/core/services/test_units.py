import pytest

from cloud_connect.errors import ConfigurationError
from cloud_connect.services.units import render_unit, unit_word

TEMPLATE = """\
# By hand:
#   User=nobody
[Unit]
Description=A
[Service]
User=a
ExecStart=/bin/a serve \\
    --port 1
# A remark
StateDirectory=a
"""


def test_values_take_the_place_of_the_templates_and_additions_come_first() -> None:
    made = render_unit(
        TEMPLATE,
        values={"User": "b", "ExecStart": "/bin/b", "StateDirectory": None},
        added={"LoadCredentialEncrypted": "k:/f"},
        header="One\n\nTwo",
    )
    assert made == (
        "# One\n#\n# Two\n\n[Unit]\nDescription=A\n[Service]\nLoadCredentialEncrypted=k:/f\n"
        "User=b\nExecStart=/bin/b\n# A remark\n"
    )


def test_a_value_that_the_template_does_not_have_is_no_silent_loss() -> None:
    with pytest.raises(ValueError, match="Usr"):
        render_unit(TEMPLATE, values={"Usr": "b"}, added={}, header="")


@pytest.mark.parametrize("bad", ["/opt/a b", "/opt/a;b", "a\nExecStartPre=b", "$HOME", "", '"'])
def test_what_means_something_else_in_a_unit_or_a_shell_is_refused(bad: str) -> None:
    with pytest.raises(ConfigurationError, match="characters"):
        unit_word(bad, what="The folder")


def test_a_percent_sign_stays_one() -> None:
    assert unit_word("https://a/b%20c", what="The URL") == "https://a/b%%20c"
