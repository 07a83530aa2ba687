"""Who there is: the caller, the companies' users, the projects' users and roles."""

from collections.abc import Iterator

from procore_simulator.calls import Call
from procore_simulator.crud import (
    apply,
    change,
    crud_routes,
    envelope_of,
    insert,
    show_reply,
    stored,
)
from procore_simulator.failures import blank, conflict, not_found
from procore_simulator.filtering import among, containing, flagged, ranged, referring
from procore_simulator.inputs import (
    flag,
    instant,
    integer,
    kept,
    reference,
    text,
    to_integer,
)
from procore_simulator.messages import Reply, json_reply
from procore_simulator.records import Record
from procore_simulator.resource import Resource
from procore_simulator.routing import Reach, Route, route
from procore_simulator.seeding import words
from procore_simulator.seeding.seeder import Seeder
from procore_simulator.sync import sync_route
from procore_simulator.tenancy import Level

__all__ = ["RESOURCES", "ROUTES"]

_USER_TEMPLATE = {
    "id": None,
    "first_name": None,
    "last_name": None,
    "name": None,
    "login": None,
    "email_address": None,
    "job_title": None,
    "employee_id": None,
    "is_active": True,
    "is_employee": False,
    "business_phone": None,
    "business_phone_extension": None,
    "mobile_phone": None,
    "fax_number": None,
    "address": None,
    "city": None,
    "state_code": None,
    "country_code": None,
    "zip": None,
    "avatar": None,
    "initials": None,
    "notes": None,
    "vendor": None,
    "permission_template": None,
    "default_permission_template_id": None,
    "origin_id": None,
    "origin_data": None,
    "last_login_at": None,
    "welcome_email_sent_at": None,
    "created_at": None,
    "updated_at": None,
}
_USER_INPUTS = {
    "first_name": text("first_name"),
    "last_name": text("last_name"),
    "email_address": text("email_address"),
    "job_title": text("job_title"),
    "employee_id": text("employee_id"),
    "is_active": flag("is_active"),
    "is_employee": flag("is_employee"),
    "business_phone": text("business_phone"),
    "business_phone_extension": integer("business_phone_extension"),
    "mobile_phone": text("mobile_phone"),
    "address": text("address"),
    "city": text("city"),
    "state_code": text("state_code"),
    "country_code": text("country_code"),
    "zip": text("zip"),
    "initials": text("initials"),
    "notes": text("notes"),
    "vendor_id": reference("vendor", "vendors"),
    "permission_template_id": kept("default_permission_template_id"),
    "origin_id": text("origin_id"),
    "origin_data": text("origin_data"),
    "last_login_at": instant("last_login_at"),
}
_USER_FILTERS = {
    "id": among("id"),
    "search": containing("name", "email_address"),
    "vendor_id": referring("vendor"),
    "employee": flagged("is_employee"),
    "is_employee": flagged("is_employee"),
    "active": flagged("is_active"),
    "is_active": flagged("is_active"),
    "origin_id": among("origin_id"),
    "created_at": ranged("created_at"),
    "updated_at": ranged("updated_at"),
}
_USER_SORTS = frozenset(
    {"id", "name", "first_name", "last_name", "email_address", "created_at", "updated_at"}
)


def _seed_users(seeder: Seeder) -> Iterator[Record]:
    rng = seeder.rng
    service = seeder.world.service_principal()
    # A DMSA's directory entry has a generated login and a name that starts with a blank.
    yield {
        "id": service.user_id,
        "first_name": "",
        "last_name": "Cloud Connect",
        "name": " Cloud Connect",
        "login": f"cloud-connect-{service.user_id:08x}@procore.com",
        "email_address": f"cloud-connect-{service.user_id:08x}@procore.com",
        "initials": "CC",
        **seeder.times(-400, -300),
    }
    for index, number in enumerate(seeder.ids()):
        first, last = rng.choice(words.FIRST_NAMES), rng.choice(words.LAST_NAMES)
        login = f"{first}.{last}{index or ''}@example.com".lower()
        employee = rng.random() < 0.6
        row: Record = {
            "id": seeder.world.user_principal().user_id if index == 0 else number,
            "first_name": first,
            "last_name": last,
            "name": f"{first} {last}",
            "login": login,
            "email_address": login,
            "initials": first[0] + last[0],
            "job_title": rng.choice(words.JOB_TITLES),
            "is_active": index == 0 or rng.random() < 0.95,
            "is_employee": employee,
            **seeder.times(),
        }
        if rng.random() < 0.5:
            row |= seeder.address()
            row["business_phone"] = seeder.phone()
        if not employee:
            row["vendor"] = seeder.vendor()
        if rng.random() < 0.7:
            row["last_login_at"] = seeder.instant(-30, 0)
        yield row


def _complete_user(call: Call, row: Record, before: Record | None) -> None:
    email = row.get("email_address")
    rows = call.world.collection("company_users", company=call.home)
    if before is None or before.get("email_address") != email:
        twin = rows.find(lambda user: user.get("email_address") == email)
        if twin is not None and twin["id"] != row["id"]:
            raise conflict("A user with this email address already exists")
    row["login"] = email
    row["name"] = f"{row.get('first_name') or ''} {row.get('last_name') or ''}".strip()


def _without_empty(_call: Call, shown: Record, listed: bool) -> Record:  # noqa: FBT001 - Resource.present's shape
    if listed:
        return shown
    return {key: value for key, value in shown.items() if value is not None}


COMPANY_USERS = Resource(
    name="company_users",
    tool="directory",
    envelope="user",
    template=_USER_TEMPLATE,
    inputs=_USER_INPUTS,
    required=("last_name", "email_address"),
    filters=_USER_FILTERS,
    sorts=_USER_SORTS,
    company_wide=True,
    count=40,
    seed=_seed_users,
    normalize=_complete_user,
    present=_without_empty,
)


def _seed_project_users(seeder: Seeder) -> Iterator[Record]:
    for user in seeder.world.rows("company_users", company=seeder.company)[: seeder.count]:
        yield dict(user)


PROJECT_USERS = Resource(
    name="project_users",
    tool="directory",
    envelope="user",
    template=_USER_TEMPLATE,
    inputs=_USER_INPUTS,
    required=("email_address",),
    filters=_USER_FILTERS,
    sorts=_USER_SORTS,
    count=24,
    seed=_seed_project_users,
)


def _create_project_user(call: Call) -> Reply:
    sent = envelope_of(PROJECT_USERS, call.body)
    email = sent.get("email_address")
    if not email:
        raise blank("email_address")
    team = call.collection("project_users")
    if team.find(lambda row: row["email_address"] == email) is not None:
        raise conflict("A user with this email address already exists in the project")
    people = call.collection("company_users")
    known = people.find(lambda row: row["email_address"] == email)
    if known is None:
        known = insert(COMPANY_USERS, call, {"last_name": str(email).partition("@")[0], **sent})
    else:
        known = apply(COMPANY_USERS, call, sent, known)
        people.put(known)
    team.put(dict(known))
    call.record_id = known["id"]
    return show_reply(PROJECT_USERS, call, known, status=201)


def _update_project_user(call: Call) -> Reply:
    row = stored(PROJECT_USERS, call)
    return show_reply(
        PROJECT_USERS, call, change(PROJECT_USERS, call, row, envelope_of(PROJECT_USERS, call.body))
    )


def _add_project_user(call: Call) -> Reply:
    user = call.collection("company_users").get(call.item_id())
    if user is None:
        raise not_found("User")
    sent = call.body.get("user")
    template_id = sent.get("permission_template_id") if isinstance(sent, dict) else None
    row = {**user, "default_permission_template_id": to_integer(template_id)}
    call.collection("project_users").put(row)
    call.record_id = row["id"]
    return show_reply(PROJECT_USERS, call, row, status=201)


def _remove_project_user(call: Call) -> Reply:
    row = stored(PROJECT_USERS, call)
    call.collection("project_users").remove(row["id"])
    return Reply(status=204)


def _reactivate(call: Call) -> Reply:
    row = stored(COMPANY_USERS, call)
    row = change(COMPANY_USERS, call, row, {"is_active": True})
    return show_reply(COMPANY_USERS, call, row)


_ROLES = ("Project Manager", "Superintendent", "Architect", "Safety Officer")


def _company_roles(call: Call) -> Reply:
    first = call.home.first_id + 951
    return json_reply([{"id": first + index, "name": name} for index, name in enumerate(_ROLES)])


def _seed_roles(seeder: Seeder) -> Iterator[Record]:
    team = seeder.rows("project_users")[1:]
    for number, (title, user) in zip(seeder.ids(), zip(_ROLES, team, strict=False), strict=False):
        yield {
            "id": number,
            "name": user["name"],
            "role": title,
            "user_id": user["id"],
            "contact_id": user["id"],
            "is_active": user["is_active"],
        }


PROJECT_ROLES = Resource(
    name="project_roles",
    tool="directory",
    envelope="project_role",
    template={
        "id": None,
        "name": None,
        "role": None,
        "user_id": None,
        "contact_id": None,
        "is_active": True,
    },
    inputs={"role": text("role"), "user_id": integer("user_id")},
    required=("role", "user_id"),
    count=4,
    seed=_seed_roles,
    normalize=lambda call, row, _before: _complete_role(call, row),
)


def _complete_role(call: Call, row: Record) -> None:
    user = call.lookup("company_users", row["user_id"])
    if user is None:
        raise not_found("User")
    roles = call.collection("project_roles")
    twin = roles.find(
        lambda other: other["user_id"] == row["user_id"] and other["role"] == row["role"]
    )
    if twin is not None:
        raise conflict("This user already has this role in the project")
    row["name"] = user["name"]
    row["contact_id"] = user["id"]


RESOURCES = (COMPANY_USERS, PROJECT_USERS, PROJECT_ROLES)

_TEAM = "/rest/v1.0/projects/{project_id}/users"
ROUTES: tuple[Route, ...] = (
    *crud_routes(COMPANY_USERS, "/rest/v1.3/companies/{company_id}/users", "SCU"),
    route(
        "PATCH",
        "/rest/v1.0/companies/{company_id}/users/inactive/{id}",
        _reactivate,
        "company_users",
        tool="directory",
        reach=Reach.COMPANY,
        level=Level.ADMIN,
    ),
    *(
        sync_route(COMPANY_USERS, f"/rest/{version}/companies/{{company_id}}/users/sync")
        for version in ("v1.0", "v1.1", "v1.2", "v1.3")
    ),
    *crud_routes(PROJECT_USERS, _TEAM, "LS"),
    route("POST", _TEAM, _create_project_user, "project_users", tool="directory"),
    route("PATCH", f"{_TEAM}/{{id}}", _update_project_user, "project_users", tool="directory"),
    route(
        "POST",
        f"{_TEAM}/{{id}}/actions/add",
        _add_project_user,
        "project_users",
        tool="directory",
        level=Level.ADMIN,
    ),
    route(
        "DELETE",
        f"{_TEAM}/{{id}}/actions/remove",
        _remove_project_user,
        "project_users",
        tool="directory",
    ),
    *crud_routes(PROJECT_ROLES, "/rest/v1.0/project_roles", "LCD", deleted=204),
    route(
        "GET",
        "/rest/v1.0/companies/{company_id}/roles",
        _company_roles,
        "roles",
        reach=Reach.COMPANY,
    ),
)
