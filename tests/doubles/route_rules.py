"""What each route of the relay takes; a route without a rule fails the tests that attack all."""

from collections.abc import Collection

__all__ = ["GUARDED", "RULES", "opens"]

# What a route takes: a scope, one of several ("a|b"), or all of them ("a+b"); "person" for
# whoever signed in with a password; "open" for everybody. A route that is added here as open needs
# a reason.
PASSTHROUGH = "/api/datasources/{datasource_id}/procore/{path}"
RULES = {
    "POST /Token": "open",  # signing in
    "POST /oauth/token": "open",  # the same, for Procore's clients
    "POST /oauth/token/": "open",
    "GET /oauth/token/info": "open",  # answers 401 in Procore's own words
    "POST /oauth/revoke": "open",  # whoever has a token may end it
    "GET /oauth/callback": "open",  # the browser has a code and a state instead
    "POST /api/enrol": "open",  # the agent has a join token instead
    "POST /api/enrol/challenge": "open",
    "POST /api/enrol/certificates": "open",  # they are shown to whoever connects
    "POST /api/enrol/tunnel": "open",  # the answer is no secret, and signed
    "POST /api/enrol/update": "open",  # likewise, and only what the operator wrote for all to read
    "POST /api/enrol/rotate": "open",  # the agent signs with its old and its new key
    "POST /api/enrol/leave": "open",  # the agent signs with its key
    "GET /healthz": "open",
    "GET /readyz": "open",
    "GET /docs": "open",  # they describe, and hold nothing
    "GET /openapi.json": "open",
    "POST /custom-connector/{registration}/test": "open",  # sealed settings are the credential
    "POST /custom-connector/{registration}/metadata": "open",
    "POST /custom-connector/{registration}/query": "open",
    "GET /metrics": "metrics:read",
    "GET /api/audit": "audit:read",
    "GET /api/audit/checkpoints": "audit:read",
    "GET /api/custom-connectors": "keys:manage",
    "POST /api/custom-connectors": "keys:manage",
    "GET /api/custom-connectors/{registration_id}": "keys:manage",
    "DELETE /api/custom-connectors/{registration_id}": "keys:manage",
    "PUT /api/custom-connectors/{registration_id}/secret": "keys:manage",
    "GET /api/calls": "calls:read",
    "GET /api/calls/{call_id}": "calls:read",
    "GET /api/events": "connectors:read|calls:read",
    "GET /api/connectors": "connectors:read",
    "GET /api/connectors/{connector_id}": "connectors:read",
    "PATCH /api/connectors/{connector_id}": "connectors:manage",
    "DELETE /api/connectors/{connector_id}": "connectors:manage",
    "POST /api/connectors/{connector_id}/approve": "connectors:manage",
    "POST /api/connectors/{connector_id}/recover": "connectors:manage",
    "POST /api/connectors/{connector_id}/echo": "connectors:read",
    "GET /api/enrolment-tokens": "connectors:enrol",
    "POST /api/enrolment-tokens": "connectors:enrol",
    "DELETE /api/enrolment-tokens/{token_id}": "connectors:enrol",
    "GET /api/keys": "keys:manage",
    "POST /api/keys": "keys:manage",
    "GET /api/keys/{key_id}": "keys:manage",
    "POST /api/keys/{key_id}/rotate": "keys:manage",
    "DELETE /api/keys/{key_id}": "keys:manage",
    "GET /api/users": "users:manage",
    "POST /api/users": "users:manage",
    "GET /api/users/{user_id}": "users:manage",
    "PATCH /api/users/{user_id}": "users:manage",
    "DELETE /api/users/{user_id}": "users:manage",
    "PUT /api/users/{user_id}/password": "users:manage",
    "POST /api/users/me/password": "person",
    "GET /api/datasources": "datasources:read",
    "POST /api/datasources": "datasources:write",
    "GET /api/datasources/{datasource_id}": "datasources:read",
    "PUT /api/datasources/{datasource_id}": "datasources:write",
    "DELETE /api/datasources/{datasource_id}": "datasources:write",
    "PUT /api/datasources/{datasource_id}/security": "datasources:write",
    "POST /api/datasources/{datasource_id}/authorize": "datasources:write",
    "GET /api/datasources/{datasource_id}/drift": "datasources:read",
    "POST /api/datasources/{datasource_id}/test": "calls:test",
    "POST /api/datasources/{datasource_id}/tree": "calls:read",
    "POST /api/datasources/{datasource_id}/query": "calls:read",  # what writes: see below
    "POST /api/datasources/{datasource_id}/sealed": "calls:read",  # what writes: see below
    "POST /api/datasources/{datasource_id}/uploads": "calls:write",
    "GET /api/datasources/{datasource_id}/records/{resource}": "calls:read",
    "POST /api/datasources/{datasource_id}/records/{resource}": "calls:write",
    "GET /api/datasources/{datasource_id}/records/{resource}/{record_id}": "calls:read",
    "PATCH /api/datasources/{datasource_id}/records/{resource}/{record_id}": "calls:write",
    "DELETE /api/datasources/{datasource_id}/records/{resource}/{record_id}": "calls:write",
    "GET /api/datasources/{datasource_id}/records/{resource}/{record_id}/content": "calls:read",
    "GET /api/datasources/{datasource_id}/records/{resource}/{record_id}/attachments": "calls:read",
    "POST /api/datasources/{datasource_id}/records/{resource}/{record_id}/attachments": (
        "calls:write"
    ),
    f"GET {PASSTHROUGH}": "calls:read",
    f"HEAD {PASSTHROUGH}": "calls:read",
    f"POST {PASSTHROUGH}": "calls:write",
    f"PUT {PASSTHROUGH}": "calls:write",
    f"PATCH {PASSTHROUGH}": "calls:write",
    f"DELETE {PASSTHROUGH}": "calls:write",
}
GUARDED = {route: rule for route, rule in RULES.items() if rule != "open"}


def opens(rule: str, scopes: Collection[str]) -> bool:
    """Whether what a credential may do opens a route with *rule*."""
    if "all" in scopes:
        return True
    choice = any if "|" in rule else all
    return choice(scope in scopes for scope in rule.replace("+", "|").split("|"))
