"""How ``cloud-connect status`` words an account."""

from cloud_connect_agent.cli.status import rows_of

GRANT = {
    "environment": "developer_sandbox",
    "grant": "client-credentials",
    "client_id": "app",
    "state": "ready",
    "budget": [
        {"company_id": 8089, "limit": 25, "remaining": 4, "resets_at": "2027-01-01T00:00:10Z"},
        {"company_id": 8089, "limit": 600, "remaining": 600, "resets_at": None},
    ],
    "circuits": [
        {
            "company_id": 9,
            "status": 403,
            "reason": "Procore answered 403: App is not connected to this company.",
            "retry_at": "2027-01-01T00:05:00Z",
        }
    ],
}


def test_budgets_and_refusals_stand_below_their_account() -> None:
    names, lines = zip(*rows_of(GRANT), strict=True)
    assert names == ("Procore", *[""] * 5)
    assert lines[:3] == ("developer-sandbox: signed in", "client-credentials", "app app")
    assert lines[3].startswith("company 9 is not asked before 2027-01-01T00:05:00Z: Procore")
    assert lines[4] == "company 8089: 4 of 25 requests left until 2027-01-01T00:00:10Z"
    assert lines[5] == "company 8089: 600 of 600 requests left"


def test_the_end_of_a_token_is_told_to_the_second() -> None:
    for until in ("2027-01-01T01:30:00.123456Z", "2027-01-01T01:30:00Z"):
        rows = list(rows_of({**GRANT, "expires_at": until}))
        assert rows[3] == ("", "token until 2027-01-01T01:30:00Z")


def test_an_account_that_tells_no_more_has_its_own_lines_only() -> None:
    bare = {key: value for key, value in GRANT.items() if key not in {"budget", "circuits"}}
    assert len(list(rows_of(bare))) == 3
    person = {**bare, "grant": "authorization-code", "login": "ann@example.com"}
    assert ("", "authorization-code as ann@example.com") in list(rows_of(person))
