import re

from cloud_connect_relay.api.reference_page import render
from doubles.relay_node import Node

STRANGER = {"Authorization": ""}


async def test_openapi_describes_the_endpoints_and_their_errors(node: Node) -> None:
    document = (await node.api.get("/openapi.json", headers=STRANGER)).json()
    assert document["openapi"].startswith("3.")
    for path in ("/Token", "/api/connectors", "/api/connectors/{connector_id}", "/metrics"):
        assert path in document["paths"]
    assert "/api/datasources/{datasource_id}/procore/{path}" in document["paths"]
    for operations in document["paths"].values():
        for operation in operations.values():
            assert "422" not in operation["responses"]
            assert "default" in operation["responses"]
    assert document["paths"]["/api/connectors"]["get"]["security"] == [{"Bearer": []}]
    assert "security" not in document["paths"]["/Token"]["post"]
    assert "HTTPValidationError" not in document["components"]["schemas"]


async def test_docs_are_one_page_that_loads_and_runs_nothing(node: Node) -> None:
    answer = await node.api.get("/docs", headers=STRANGER)
    page = answer.text
    assert answer.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "<script" not in page
    assert "http://" not in page
    assert "https://" not in page
    assert re.search(r"\son\w+=|\sstyle=|\ssrc=", page) is None
    for wanted in ("/api/enrolment-tokens", "expires_in", "policy_class", "Create a join token"):
        assert wanted in page


async def test_style_is_the_one_that_the_page_may_use(node: Node) -> None:
    import base64
    import hashlib

    answer = await node.api.get("/docs")
    style = answer.text.partition("<style>")[2].partition("</style>")[0]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"'sha256-{digest}'" in answer.headers["content-security-policy"]


def test_texts_of_the_document_are_escaped() -> None:
    page = render(
        {
            "info": {"title": "<b>", "version": "1", "description": "`<i>`"},
            "paths": {
                "/a/{b}": {
                    "get": {
                        "summary": "<u>",
                        "parameters": [
                            {"name": "<x>", "in": "query", "schema": {"type": "array"}},
                            {"name": "y", "in": "path", "required": True, "schema": {}},
                        ],
                        "requestBody": {
                            "content": {
                                "a/b": {"schema": {"$ref": "#/components/schemas/S"}},
                                "c/d": {"schema": {"type": ["string", "null"]}},
                            }
                        },
                        "responses": {"200": {}},
                    }
                }
            },
            "components": {
                "schemas": {
                    "S": {
                        "required": ["n"],
                        "properties": {
                            "n": {"anyOf": [{"$ref": "#/components/schemas/T"}, {"type": "null"}]},
                            "e": {"enum": ["<1>", 2], "description": "one of"},
                            "c": {"const": 5},
                            "m": {"anyOf": [{"type": "string"}, {"type": "integer"}]},
                            "r": {"type": "array", "items": {"$ref": "#/components/schemas/T"}},
                        },
                    },
                    "T": {"type": "object", "properties": {"deep": {"type": "string"}}},
                }
            },
        }
    )
    for tag in ("<b>", "<i>", "<u>", "<x>", "<1>"):
        assert tag not in page
    assert "string | integer" in page
    assert "list of T" in page
    assert "n.deep" in page
