"""What may run on this PC, and which rule says so."""

from cloud_connect_agent.policy.access import (
    Access,
    Bound,
    Ceiling,
    Decision,
    Effect,
    FixedPolicy,
    Policy,
    PolicyClass,
    Verb,
    lowest,
    tightest,
)
from cloud_connect_agent.policy.hours import Day, Hours
from cloud_connect_agent.policy.reading import parse_policy
from cloud_connect_agent.policy.rules import PolicyDocument, Rule

__all__ = [
    "Access",
    "Bound",
    "Ceiling",
    "Day",
    "Decision",
    "Effect",
    "FixedPolicy",
    "Hours",
    "Policy",
    "PolicyClass",
    "PolicyDocument",
    "Rule",
    "Verb",
    "lowest",
    "parse_policy",
    "tightest",
]
