"""Why is this PC offline: one check for each link of the chain, in order of cause."""

from cloud_connect_agent.doctor.case import Case, open_case
from cloud_connect_agent.doctor.checks import CHECKS
from cloud_connect_agent.doctor.codes import Code
from cloud_connect_agent.doctor.examining import Check, examine
from cloud_connect_agent.doctor.findings import Finding, Report, Status

__all__ = [
    "CHECKS",
    "Case",
    "Check",
    "Code",
    "Finding",
    "Report",
    "Status",
    "examine",
    "open_case",
]
