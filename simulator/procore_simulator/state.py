"""Reading and changing the simulation while it runs."""

from dataclasses import asdict

from procore_simulator.custom_fields import DATA_TYPES, DEFINITIONS
from procore_simulator.failures import bad_request
from procore_simulator.inputs import objects, to_integer
from procore_simulator.messages import Json, JsonObject
from procore_simulator.simulation import Simulation
from procore_simulator.tenancy import OFF, Company, Level
from procore_simulator.world import World

__all__ = ["change_state", "describe_state"]


def describe_state(simulation: Simulation) -> JsonObject:
    """Write everything ``POST /state`` can change."""
    return {
        "now": simulation.clock.now(),
        "behaviour": asdict(simulation.behaviour),
        "environments": {
            name: {
                "companies": [_company(company) for company in world.companies.values()],
                "projects": [
                    {"id": project.id, "name": project.name, "company_id": project.company.id}
                    for project in world.projects.values()
                ],
                "tools": world.permissions.describe(),
                "redirect_uris": sorted(world.grants.redirect_uris),
            }
            for name, world in simulation.worlds.items()
        },
    }


def _company(company: Company) -> JsonObject:
    permitted = company.permitted_projects
    return {
        "id": company.id,
        "name": company.name,
        "visible": company.visible,
        "connected": company.connected,
        "is_active": company.is_active,
        "retired_custom_fields": sorted(company.retired_custom_fields),
        "retyped_custom_fields": {
            str(number): kind for number, kind in company.retyped_custom_fields.items()
        },
        "permitted_projects": None if permitted is None else sorted(permitted),
    }


def change_state(simulation: Simulation, sent: JsonObject) -> None:
    """Carry out the changes named in *sent*, in a fixed order.

    Raises:
        ApiError: 400 naming what is unknown or wrong.
    """
    known = {
        "environment", "reset", "advance_seconds", "behaviour", "companies", "tools",
        "redirect_uris", "revoke_tokens",
    }  # fmt: skip
    unknown = sent.keys() - known
    if unknown:
        raise bad_request(f"unknown key: {', '.join(sorted(unknown))}")
    world = _world(simulation, sent.get("environment"))
    if sent.get("reset"):
        simulation.reset()
    if "behaviour" in sent:
        simulation.change_behaviour(_object(sent, "behaviour"))
    for item in objects(sent.get("companies") or [], "companies"):
        _change_company(world, item)
    for item in objects(sent.get("tools") or [], "tools"):
        _change_tool(world, item)
    addresses = sent.get("redirect_uris") or []
    if not isinstance(addresses, list):
        raise bad_request("redirect_uris must be a list", fields="redirect_uris")
    world.grants.redirect_uris.update(str(address) for address in addresses)
    if sent.get("revoke_tokens"):
        world.grants.revoke_all()
    seconds = sent.get("advance_seconds")
    if seconds is not None:
        if not isinstance(seconds, (int, float)):
            raise bad_request("advance_seconds must be a number", fields="advance_seconds")
        simulation.clock.advance(seconds)


def _world(simulation: Simulation, name: Json) -> World:
    if name is None:
        return simulation.primary
    world = simulation.worlds.get(str(name).replace("-", "_"))
    if world is None:
        raise bad_request(f"unknown environment: {name}", fields="environment")
    return world


def _object(sent: JsonObject, name: str) -> JsonObject:
    value = sent[name]
    if not isinstance(value, dict):
        raise bad_request(f"{name} must be an object", fields=name)
    return value


def _numbers(value: Json, name: str) -> frozenset[int]:
    if not isinstance(value, list) or not all(type(item) is int for item in value):
        raise bad_request(f"{name} must be a list of ids", fields="companies")
    return frozenset(value)


def _change_company(world: World, item: JsonObject) -> None:
    number = to_integer(item.get("id"))
    company = None if number is None else world.companies.get(number)
    if company is None:
        raise bad_request(f"unknown company: {item.get('id')}", fields="companies")
    for name in ("connected", "visible", "is_active"):
        if name in item:
            setattr(company, name, bool(item[name]))
    if "retired_custom_fields" in item:
        retired = item["retired_custom_fields"] or []
        company.retired_custom_fields = _numbers(retired, "retired_custom_fields")
    if "retyped_custom_fields" in item:
        company.retyped_custom_fields = _types(item["retyped_custom_fields"] or {})
    if "permitted_projects" in item:
        wanted = item["permitted_projects"]
        company.permitted_projects = (
            None if wanted is None else _numbers(wanted, "permitted_projects")
        )


def _types(sent: Json) -> dict[int, str]:
    """Read the types that custom fields are to have.

    Raises:
        ApiError: 400 if a field or a type is unknown.
    """
    known = {definition.id for definition in DEFINITIONS}
    types: dict[int, str] = {}
    for name, kind in (sent if isinstance(sent, dict) else {"": None}).items():
        number = to_integer(name)
        if number not in known or not isinstance(kind, str) or kind not in DATA_TYPES:
            raise bad_request(
                f"retyped_custom_fields gives custom fields one of {', '.join(sorted(DATA_TYPES))}",
                fields="companies",
            )
        types[number] = kind
    return types


def _change_tool(world: World, item: JsonObject) -> None:
    company_id = to_integer(item.get("company_id"))
    tool = item.get("tool")
    if company_id not in world.companies or not isinstance(tool, str):
        raise bad_request("a tool rule needs company_id, tool and level", fields="tools")
    name = str(item.get("level")).upper()
    if name != OFF.upper() and name not in Level.__members__:
        raise bad_request("level must be none, read, standard, admin or off", fields="tools")
    world.permissions.set_level(
        company_id=company_id,
        project_id=to_integer(item.get("project_id")),
        tool=tool,
        level=None if name == OFF.upper() else Level[name],
    )
