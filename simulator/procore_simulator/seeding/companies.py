"""The companies and projects every environment starts with."""

from procore_simulator.tenancy import Company, Project

__all__ = [
    "CONNECTED_COMPANY_ID",
    "DEMO_PROJECT_ID",
    "HIDDEN_COMPANY_ID",
    "LARGE_ID_COMPANY_ID",
    "UNCONNECTED_COMPANY_ID",
    "company_accounts",
]

CONNECTED_COMPANY_ID = 4242
"""The demo company, with small ids."""
LARGE_ID_COMPANY_ID = 562_949_953_421_312
"""A company of a zone whose ids exceed 32 bits: 2**49 and up."""
UNCONNECTED_COMPANY_ID = 4343
"""A company that is listed, but whose admin has not connected the app."""
HIDDEN_COMPANY_ID = 9999
"""A company that exists and is out of the credentials' reach."""
DEMO_PROJECT_ID = 5001
"""The project with the long lists."""


def company_accounts() -> tuple[list[Company], list[Project]]:
    """Make the companies, and their projects with the demo project first."""
    harbour = Company(
        id=CONNECTED_COMPANY_ID,
        name="Harbour & Stone Construction",
        first_id=0,
        ordinal=1,
        zone="us01",
    )
    cascadia = Company(
        id=LARGE_ID_COMPANY_ID,
        name="Cascadia Civil Group",
        first_id=LARGE_ID_COMPANY_ID,
        ordinal=2,
        zone="us02",
    )
    linden = Company(
        id=UNCONNECTED_COMPANY_ID,
        name="Linden Interiors",
        first_id=0,
        ordinal=3,
        zone="us01",
        connected=False,
    )
    quarry = Company(
        id=HIDDEN_COMPANY_ID,
        name="Quarry Point Developers",
        first_id=0,
        ordinal=4,
        zone="us01",
        visible=False,
        connected=False,
    )
    named = (
        (DEMO_PROJECT_ID, "Harbour Tower", harbour),
        (5002, "Riverside Clinic", harbour),
        (5003, "North Depot Extension", harbour),
        (5004, "Old Mill Refurbishment", harbour),
        (LARGE_ID_COMPANY_ID + 501, "Harbour Tower", cascadia),
        (LARGE_ID_COMPANY_ID + 502, "Riverside Clinic", cascadia),
        (LARGE_ID_COMPANY_ID + 503, "Granite Pass Bridge", cascadia),
        (5101, "Linden Showroom", linden),
        (5201, "Quarry Point Phase 1", quarry),
    )
    projects = [
        Project(id=number, name=name, company=company, ordinal=5 + index)
        for index, (number, name, company) in enumerate(named)
    ]
    return [harbour, cascadia, linden, quarry], projects
