import pytest

from cloud_connect_agent.procore.rows import Path, flatten_tree, is_answer, project, unwrap

ROW = {
    "id": 1,
    "rfi_manager": {"id": 7, "name": "Ada"},
    "assignees": [{"name": "Ben", "vendor": {"id": 3}}, {"name": "Cid"}, {}],
    "custom_fields": {"custom_field_9": {"value": {"id": 4, "label": "Open"}}},
    "weird.key": "kept",
    "rfi_manager.login": "ada",
}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("id", 1),
        ("rfi_manager.name", "Ada"),
        ("rfi_manager", {"id": 7, "name": "Ada"}),
        ("assignees.name", ["Ben", "Cid"]),
        ("assignees.vendor.id", [3]),
        ("assignees.1.name", "Cid"),
        ("assignees.9.name", None),
        ("custom_field_9.label", "Open"),
        ("custom_fields.custom_field_9.value.id", 4),
        ("custom_field_8", None),
        ("weird.key", "kept"),
        ("rfi_manager.login", "ada"),
        ("id.deeper", None),
        ("absent", None),
    ],
)
def test_dots_lead_to_nested_values(name: str, value: object) -> None:
    assert Path(name).of(ROW) == value


def test_projection_keeps_the_names_that_were_asked_for() -> None:
    fields = [Path("id"), Path("rfi_manager.name"), Path("absent")]
    assert project(ROW, fields) == {"id": 1, "rfi_manager.name": "Ada", "absent": None}
    assert Path("rfi_manager.name").root == "rfi_manager"


@pytest.mark.parametrize(
    ("name", "there"),
    [
        ("id", True),
        ("rfi_manager.name", True),
        ("rfi_manager.size", False),
        ("assignees.name", True),
        ("assignees.vendor.id", True),
        ("assignees.vendor.id.x", False),
        ("weird.key", True),
        ("absent", False),
        ("blank", True),
        ("blank.x", None),
        ("empty.x", None),
    ],
)
def test_fields_are_there_even_if_they_are_blank(name: str, *, there: bool | None) -> None:
    assert Path(name).exists_in({**ROW, "blank": None, "empty": []}) is there


@pytest.mark.parametrize(
    ("body", "rule", "ids"),
    [
        ([{"id": 1}, {"id": 2}], "", [1, 2]),
        ({"id": 1}, "", [1]),
        ({}, "", []),
        (None, "", []),
        ([1, "x", {"id": 2}], "", [2]),
        ({"data": [{"id": 1}]}, "data", [1]),
        ({"data": {"id": 1}}, "data", [1]),
        ([{"id": 1}], "data", [1]),
        ({"id": 1}, "data", [1]),
        ({"data": []}, "data", []),
        ([{"meetings": [{"id": 1}]}, {"meetings": [{"id": 2}]}, 7], "groups:meetings", [1, 2]),
        ({"meetings": [{"id": 1}]}, "groups:meetings", [1]),
    ],
)
def test_records_are_found_in_answers(body: object, rule: str, ids: list[int]) -> None:
    assert [row["id"] for row in unwrap(body, rule)] == ids


@pytest.mark.parametrize(
    ("body", "rule", "answers"),
    [
        (None, "", True),
        ([], "", True),
        ({}, "", True),
        ([{"id": 1}], "", True),
        ({"id": 1}, "", True),
        ({"errors": ["no"]}, "", False),
        ([1, 2], "", False),
        ([{"id": 1}, "x"], "", False),
        ("text", "", False),
        ("", "", False),
        (0, "", False),
        (1.5, "", False),
        (False, "", False),
        (True, "", False),
        ({"data": [{"id": 1}]}, "data", True),
        ({"data": {"id": 1}}, "data", True),
        ({"data": None}, "data", True),
        ({"data": {}}, "data", True),
        ([{"id": 1}], "data", True),
        ({"id": 1}, "data", True),
        ({"data": [1]}, "data", False),
        ({"data": "x"}, "data", False),
        ({"data": {"errors": []}}, "data", False),
        ({"message": "no"}, "data", False),
        ([{"meetings": [{"id": 1}]}, {"meetings": None}], "groups:meetings", True),
        ({"meetings": [{"id": 1}]}, "groups:meetings", True),
        ([], "groups:meetings", True),
        ([{"meetings": [{"id": 1}]}, 7], "groups:meetings", False),
        ([{"id": 1}], "groups:meetings", False),
        ({"meetings": [1]}, "groups:meetings", False),
        ({"errors": ["no"]}, "groups:meetings", False),
        ({"id": 1, "folders": []}, "tree:files", True),
        ({"files": []}, "tree:files", True),
        ([{"id": 1}], "tree:files", False),
        ({"errors": ["no"]}, "tree:files", False),
        ("x", "tree:files", False),
    ],
)
def test_answer_of_another_shape_is_none(body: object, rule: str, *, answers: bool) -> None:
    assert is_answer(body, rule, lambda row: "id" in row) is answers


def test_folder_tree_becomes_rows_with_parents() -> None:
    root = {
        "id": 1,
        "name": "Root",
        "files": [{"id": 10, "name": "a.pdf"}],
        "folders": [
            {"id": 2, "name": "A", "folders": [{"id": 3, "name": "B", "files": [{"id": 11}]}]},
            {"id": 4, "name": "C", "files": [{"id": 12, "parent_id": 4}]},
        ],
    }
    folders = unwrap(root, "tree:folders")
    assert [(row["id"], row["parent_id"]) for row in folders] == [(1, None), (2, 1), (3, 2), (4, 1)]
    assert all("folders" not in row and "files" not in row for row in folders)
    files = unwrap(root, "tree:files")
    assert [(row["id"], row["parent_id"]) for row in files] == [(10, 1), (11, 3), (12, 4)]
    assert list(flatten_tree([], "folders")) == []


def test_folders_may_nest_deeper_than_python_recurses() -> None:
    root: dict[str, object] = {"id": 0}
    for number in range(1, 5000):
        root = {"id": number, "folders": [root]}
    assert len(unwrap(root, "tree:folders")) == 5000
