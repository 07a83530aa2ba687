"""The commented policy files that ``enrol --policy`` writes."""

from typing import Final

__all__ = ["STARTERS"]

_HEAD: Final = """\
# What Cloud Connect may do with Procore from this PC: {title}.
#
# This file is yours. Nothing that the relay or the low-code platform sends can widen it,
# and the agent notices a change within a second; no restart is needed. A mistake in this
# file refuses everything until it is put right: `cloud-connect policy show` says where.
#
# How it is read: the rules are tried from top to bottom, the FIRST one that matches
# decides, and what no rule matches is refused. A rule restricts only what it names:
#
#   id           its name, as it stands in logs and refusals (a-z, 0-9 and -)
#   effect       "allow" or "deny"
#   verbs        test, read, create, update, delete, passthrough_read, passthrough_write
#   environments live, monthly-sandbox, developer-sandbox
#   companies    Procore company ids, such as [1234]
#   projects     Procore project ids; an allow rule with projects does not cover what lies
#                outside of projects, a deny rule with projects covers that as well
#   resources    resource names, such as ["rfis", "punch_items"]; `cloud-connect catalog list`
#                tells them all
#   paths        of pass-through calls, such as ["rest/v1.0/projects/*/rfis"]; everything
#                below the path is included, and * stands for one part between slashes
#   hours        when the rule holds: {{ days = ["mon", "tue"], from = "07:00", until = "19:00",
#                zone = "Europe/Berlin" }}
#
# and, of allow rules, or here above the rules for all of them:
#
#   max_records_per_call    records that one call may change
#   max_rows_per_call       rows that one call may return
#   max_body_bytes          bytes that one call may send
#   max_calls_per_minute    calls
#   unwritable_fields       fields that no call writes, such as ["number", "cost_code"]
#   approval = "first-use"  the first use of a verb with a resource waits until you run
#                           `cloud-connect policy approve`
#
# A pass-through call is a raw Procore request. Only its path is known, so a deny rule
# that names projects or resources refuses all pass-through calls that reach it.
#
# An example, to be put ABOVE the other rules: keep one company's commitments private.
#
#   [[rules]]
#   id = "no-commitments"
#   effect = "deny"
#   companies = [1234]
#   resources = [
#     "commitments", "commitment_contracts", "commitment_change_orders",
#     "purchase_order_contracts", "purchase_order_contract_line_items",
#     "work_order_contracts", "work_order_contract_line_items",
#   ]
#
# Try it out: cloud-connect policy check --operation create --resource rfis --company 1234
# Ask why:    cloud-connect policy explain --operation create --resource rfis --company 1234
# Try a new file on the last day's calls: cloud-connect policy simulate --file new.toml

# "read-only" refuses every write, whatever the rules say: a switch for the worst case.
mode = "normal"

# One call may change, create or delete so many records at most; a call that would touch
# more is refused before it writes any. Pass-through calls are not counted.
max_records_per_call = 100
"""

_TEST: Final = """
# The connection test signs in and looks whether the company can be reached.
[[rules]]
id = "connection-test"
effect = "allow"
verbs = ["test"]
"""

_READ: Final = """
# Reading records and their descriptions.
[[rules]]
id = "read"
effect = "allow"
verbs = ["read"]
"""

_READ_RAW: Final = """
# Raw Procore requests that only read (GET and HEAD). Remove this rule to refuse them.
[[rules]]
id = "pass-through-read"
effect = "allow"
verbs = ["passthrough_read"]
"""

_WRITE: Final = """
# Creating, changing and deleting records.
[[rules]]
id = "write"
effect = "allow"
verbs = ["create", "update", "delete"]
"""

_WRITE_RAW: Final = """
# Raw Procore requests that may change something. Remove this rule to refuse them.
[[rules]]
id = "pass-through-write"
effect = "allow"
verbs = ["passthrough_write"]
"""

STARTERS: Final = {
    "test-only": _HEAD.format(title="the connection test, and nothing else") + _TEST,
    "read-only": _HEAD.format(title="read, change nothing") + _TEST + _READ + _READ_RAW,
    "read-write": _HEAD.format(title="read and write")
    + _TEST
    + _READ
    + _READ_RAW
    + _WRITE
    + _WRITE_RAW,
}
