"""Procore's environments, and how an agent's account stands there, in words."""

from typing import Final

from cloud_connect.calls import Environment

__all__ = ["ACCOUNT_TEXTS", "ENVIRONMENT_TEXTS"]

ENVIRONMENT_TEXTS: Final = {
    Environment.LIVE: "Live",
    Environment.MONTHLY_SANDBOX: "Monthly Sandbox",
    Environment.DEVELOPER_SANDBOX: "Developer Sandbox",
}
ACCOUNT_TEXTS: Final = {
    "ready": "signed in",
    "at_risk": "signed in, at risk",
    "sign_in_required": "sign-in required",
    "no_grant": "not signed in",
}
