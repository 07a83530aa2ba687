"""Bid packages and bids; the company's list of them is in camel case, and nothing else is."""

from collections.abc import Iterator
from dataclasses import replace

import orjson

from procore_simulator.calls import Call
from procore_simulator.crud import crud_routes, list_reply, next_number
from procore_simulator.inputs import choice, day, flag, instant, integer, kept, reference, text
from procore_simulator.messages import Reply
from procore_simulator.records import Record
from procore_simulator.resource import Paging, Resource
from procore_simulator.resources.nested import nested_routes
from procore_simulator.routing import Reach, Route, route
from procore_simulator.seeding import words
from procore_simulator.seeding.seeder import Seeder

__all__ = ["RESOURCES", "ROUTES"]

_TOOL = "bidding"


def _seed_packages(seeder: Seeder) -> Iterator[Record]:
    for index, number in enumerate(seeder.ids()):
        yield {
            "id": number,
            "number": index + 1,
            "title": f"{words.TRADES[index % len(words.TRADES)]} package",
            "bid_due_date": seeder.instant(-30, 60),
            "bid_email_message": "You are invited to bid.",
            "bid_web_message": "See the attached scope.",
            "open": index % 3 != 0,
        }


def _complete_package(call: Call, row: Record, before: Record | None) -> None:
    if before is None and not row.get("number"):
        row["number"] = next_number(call, "bid_packages")


def _in_project(call: Call, shown: Record, _listed: bool) -> Record:  # noqa: FBT001 - Resource.present's shape
    shown["project_id"] = call.site.id
    shown["project_name"] = call.site.name
    return shown


PACKAGES = Resource(
    name="bid_packages",
    tool=_TOOL,
    envelope="bid_package",
    template={
        "id": None,
        "number": None,
        "title": None,
        "bid_due_date": None,
        "bid_email_message": None,
        "bid_web_message": None,
        "anticipated_award_date": None,
        "accounting_method": "amount",
        "accept_post_due_submissions": False,
        "blind_bidding": False,
        "sealed": False,
        "open": True,
        "hidden": False,
        "submitted_bids_count": 0,
        "project_id": None,
        "project_name": None,
    },
    inputs={
        "title": text("title"),
        "number": integer("number"),
        "bid_due_date": instant("bid_due_date"),
        "bid_email_message": text("bid_email_message"),
        "bid_web_message": text("bid_web_message"),
        "anticipated_award_date": day("anticipated_award_date"),
        "accounting_method": choice("accounting_method", "amount", "unit"),
        "blind_bidding": flag("blind_bidding"),
    },
    required=("title", "bid_due_date", "bid_email_message", "bid_web_message"),
    count=9,
    seed=_seed_packages,
    normalize=_complete_package,
    present=_in_project,
)


def _seed_bids(seeder: Seeder) -> Iterator[Record]:
    packages = seeder.rows("bid_packages")
    for index, number in enumerate(seeder.ids()):
        submitted = index % 2 == 0
        yield {
            "id": number,
            "bid_package_id": packages[index % len(packages)]["id"],
            "vendor": seeder.vendor(),
            "submitted": submitted,
            "bid_status": "submitted" if submitted else "undecided",
            "lump_sum_amount": float(seeder.amount(4_000, 400_000)) if submitted else None,
            **seeder.times(),
        }


def _complete_bid(call: Call, row: Record, before: Record | None) -> None:
    if before is None:
        row["bid_package_id"] = call.item_id("bid_package_id")
    if row.get("submitted"):
        row["bid_status"] = "submitted"


BIDS = Resource(
    name="bids",
    tool=_TOOL,
    envelope="bid",
    template={
        "id": None,
        "bid_package_id": None,
        "vendor": None,
        "bid_status": "undecided",
        "awarded": False,
        "submitted": False,
        "is_bidder_committed": False,
        "lump_sum_amount": None,
        "lump_sum_enabled": True,
        "bidder_comments": None,
        "invitation_last_sent_at": None,
        "due_date": None,
        "attachments": [],
        "created_at": None,
        "updated_at": None,
    },
    inputs={
        "vendor_id": reference("vendor", "vendors"),
        "lump_sum_amount": kept("lump_sum_amount"),
        "bidder_comments": text("bidder_comments"),
        "is_bidder_committed": flag("is_bidder_committed"),
        "submitted": flag("submitted"),
    },
    required=("vendor_id",),
    count=27,
    seed=_seed_bids,
    normalize=_complete_bid,
)

# What the company's list tells of a package.
_OF_COMPANY = Resource(
    name="company_bid_packages",
    tool=_TOOL,
    template={
        "id": None,
        "project_id": None,
        "project_name": None,
        "number": None,
        "title": None,
        "bid_due_date": None,
        "accounting_method": "amount",
        "sealed": False,
        "accept_post_due_submissions": False,
    },
    paging=Paging(default=20, maximum=100),
)


def _list_packages(call: Call) -> Reply:
    """List the open packages; closed ones too where the view says so."""
    everything = call.request.argument("view") in {"all", "internal"}
    rows = call.collection("bid_packages").rows()
    return list_reply(PACKAGES, call, [row for row in rows if everything or row.get("open", True)])


def _list_of_company(call: Call) -> Reply:
    rows = [
        {
            **{name: row[name] for name in _OF_COMPANY.template if name in row},
            "project_id": project.id,
            "project_name": project.name,
        }
        for project in call.world.projects_of(call.home)
        if call.world.permits(call.principal, project)
        for row in call.world.rows("bid_packages", company=call.home, project=project)
    ]
    reply = list_reply(_OF_COMPANY, call, rows)
    body = orjson.dumps({"bidPackages": orjson.loads(reply.body)})
    return replace(reply, body=body)


_PACKAGES = "/rest/v1.0/projects/{project_id}/bid_packages"
_BIDS = f"{_PACKAGES}/{{bid_package_id}}/bids"
RESOURCES = (PACKAGES, BIDS)
ROUTES: tuple[Route, ...] = (
    route(
        "GET",
        "/rest/v1.1/projects/{project_id}/bid_packages",
        _list_packages,
        "bid_packages",
        tool=_TOOL,
    ),
    *crud_routes(PACKAGES, _PACKAGES, "SCU"),
    route(
        "GET",
        "/rest/v1.0/companies/{company_id}/bid_packages",
        _list_of_company,
        "bid_packages",
        tool=_TOOL,
        reach=Reach.COMPANY,
    ),
    *nested_routes(
        BIDS,
        _BIDS,
        "LSCU",
        holder="bid_packages",
        holder_id="bid_package_id",
        belongs=lambda bid, package: bool(bid["bid_package_id"] == package["id"]),
        created=200,
    ),
)
