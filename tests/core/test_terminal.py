"""Tests of ``cloud_connect.terminal``."""

import json

import pytest

from cloud_connect.terminal import fields, print_json, table


def test_a_document_is_printed_in_its_own_letters(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"name": "Zoë"})
    said = capsys.readouterr().out
    assert "Zoë" in said
    assert json.loads(said) == {"name": "Zoë"}


def test_fields_stand_below_each_other_and_empty_ones_are_left_out(
    capsys: pytest.CaptureFixture[str],
) -> None:
    fields([("Id", "7"), ("Longer name", None), ("State", "live"), ("Reason", "")])
    assert capsys.readouterr().out == "Id     7\nState  live\n"


def test_no_fields_print_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    fields([])
    assert capsys.readouterr().out == ""


def test_columns_are_as_wide_as_their_widest_cell(capsys: pytest.CaptureFixture[str]) -> None:
    table(("ID", "NAME", "GROUP"), [("1", "long name", None), ("22", "", "a")])
    assert capsys.readouterr().out == ("ID  NAME       GROUP\n1   long name  -\n22  -          a\n")
