"""The checks, in order of cause: what makes others fail comes first."""

from typing import Final

from cloud_connect_agent.doctor.agent_checks import check_key, check_session
from cloud_connect_agent.doctor.disk import check_disk
from cloud_connect_agent.doctor.examining import Check
from cloud_connect_agent.doctor.network_checks import check_connection, check_dns, check_proxy
from cloud_connect_agent.doctor.pc_checks import (
    check_enrolment,
    check_files,
    check_policy,
    check_settings,
    check_version,
)
from cloud_connect_agent.doctor.procore_checks import (
    check_company,
    check_grants,
    check_permissions,
    check_procore_hosts,
)
from cloud_connect_agent.doctor.relay_checks import check_clock, check_relay
from cloud_connect_agent.doctor.service import check_service
from cloud_connect_agent.doctor.tls_check import check_tls
from cloud_connect_agent.doctor.vault_check import check_vault

__all__ = ["CHECKS"]

CHECKS: Final = (
    Check(name="settings", look=check_settings),
    Check(name="enrolment", look=check_enrolment, needs=("settings",)),
    Check(name="dns", look=check_dns, needs=("enrolment",), network=True),
    Check(name="proxy", look=check_proxy, needs=("dns",), network=True),
    Check(name="connection", look=check_connection, needs=("proxy",), network=True),
    Check(name="tls", look=check_tls, needs=("connection",), network=True),
    Check(name="clock", look=check_clock, needs=("connection",), after=("tls",), network=True),
    Check(name="relay", look=check_relay, needs=("tls",), network=True),
    Check(name="key", look=check_key, needs=("relay",), after=("vault",), network=True),
    Check(name="session", look=check_session, needs=("settings",)),
    Check(
        name="procore-hosts",
        look=check_procore_hosts,
        needs=("settings",),
        after=("vault",),
        network=True,
    ),
    Check(
        name="grants", look=check_grants, needs=("procore-hosts",), after=("vault",), network=True
    ),
    Check(name="company", look=check_company, needs=("grants",), network=True),
    Check(name="permissions", look=check_permissions, needs=("company",), network=True),
    Check(name="disk", look=check_disk),
    Check(name="files", look=check_files),
    Check(name="vault", look=check_vault, needs=("settings",)),
    Check(name="policy", look=check_policy, needs=("settings",)),
    Check(name="service", look=check_service),
    Check(name="version", look=check_version),
)
