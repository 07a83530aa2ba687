import re

import pytest

from cloud_connect_relay.console.forms import Form


def test_text_comes_without_the_spaces_around_it() -> None:
    form = Form({"name": ["  Site office  "]})
    assert form.text("name", label="Name", required=True) == "Site office"
    assert form.ok


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (" ", "Enter Name."),
        ("x" * 9, "Name has at most 8 characters."),
        ("a\x00b", "Name holds a character that cannot be printed."),
        ("A", "Lower case only."),
    ],
)
def test_text_that_is_wrong_is_told_beside_it(value: str, sentence: str) -> None:
    form = Form({"name": [value]})
    form.text(
        "name",
        label="Name",
        required=True,
        max_length=8,
        pattern=re.compile("[a-z]+"),
        rule="Lower case only.",
    )
    assert form.errors == {"name": sentence}


def test_empty_field_is_fine_where_it_may_be() -> None:
    form = Form()
    assert form.text("note", label="Note") == ""
    assert form.number("days", label="Days", minimum=1, maximum=9) is None
    assert form.ok


@pytest.mark.parametrize(
    ("value", "number"),
    [("7", 7), ("0", None), ("10", None), ("1.5", None), ("²", None), ("9" * 99, None)],
)
def test_number_lies_within_its_bounds(value: str, number: int | None) -> None:
    form = Form({"days": [value]})
    assert form.number("days", label="Days", minimum=1, maximum=9, required=True) == number
    assert form.ok == (number is not None)


def test_number_that_is_needed_is_asked_for() -> None:
    form = Form()
    form.number("days", label="Days", minimum=1, maximum=9, required=True)
    assert form.errors == {"days": "Enter Days."}


def test_choice_is_one_of_those_offered() -> None:
    form = Form({"role": ["viewer"], "env": ["mars"]})
    assert form.choice("role", ["viewer", "operator"], label="a role") == "viewer"
    assert form.choice("absent", ["a", "b"], label="one", default="b") == "b"
    assert form.choice("env", ["live"], label="an environment") == "live"
    assert form.errors == {"env": "Choose an environment."}


def test_first_fault_of_a_field_stands() -> None:
    form = Form()
    form.fault("name", "One.")
    form.fault("name", "Two.")
    assert form.errors == {"name": "One."}


def test_stored_values_fill_a_form() -> None:
    form = Form.of(name="pc", days=3, on=True, off=False, none=None, scope=["a", "b"])
    assert (form.value("name"), form.value("days")) == ("pc", "3")
    assert form.checked("on")
    assert not form.checked("off")
    assert not form.has("none")
    assert form.many("scope") == ["a", "b"]
