"""Installing a program of ours as a service: what a platform's own part offers, and steps of it."""

from cloud_connect.services.backend import Finding, ServiceBackend, ServiceStatus, Verb
from cloud_connect.services.plan import Plan, Step

__all__ = ["Finding", "Plan", "ServiceBackend", "ServiceStatus", "Step", "Verb"]
