"""Whom a call is made for, and what the security settings of a data source let them do."""

from cloud_connect_relay.access.partners import PartnerRules
from cloud_connect_relay.access.security import DataSourceSecurity
from cloud_connect_relay.access.subject import Subject, Unknown, Use

__all__ = ["DataSourceSecurity", "PartnerRules", "Subject", "Unknown", "Use"]
