"""The words that seeded records are made of; nobody real is meant."""

__all__ = [
    "CITIES",
    "COST_CODES",
    "DEFECTS",
    "FIRST_NAMES",
    "JOB_TITLES",
    "LAST_NAMES",
    "MATERIALS",
    "PLACES",
    "QUESTIONS",
    "SPECIFICATIONS",
    "STREETS",
    "SUBJECTS",
    "TRADES",
    "VENDOR_HEADS",
    "VENDOR_TAILS",
]

FIRST_NAMES = (
    "Aoife", "Bram", "Carla", "Dieter", "Eleni", "Farid", "Greta", "Hugo", "Ines", "Jonas",
    "Kavya", "Liam", "Mireille", "Noor", "Oskar", "Priya", "Quentin", "Rosa", "Stefan", "Tuuli",
    "Uma", "Viktor", "Wanda", "Xavier", "Yara", "Zoltan",
)  # fmt: skip
LAST_NAMES = (
    "Abernathy", "Brandt", "Castellano", "Dufour", "Eriksen", "Fairweather", "Grimaldi",
    "Halloran", "Ivarsson", "Jankowski", "Kowalczyk", "Lindqvist", "Moreau", "Nakagawa",
    "Okonkwo", "Petrov", "Quigley", "Rasmussen", "Santoro", "Thornbury", "Underhill", "Vasquez",
    "Whitlock", "Yilmaz", "Zielinski",
)  # fmt: skip
JOB_TITLES = (
    "Project Manager", "Site Superintendent", "Project Engineer", "Architect",
    "Structural Engineer", "Safety Officer", "Quantity Surveyor", "Foreman", None,
)  # fmt: skip
VENDOR_HEADS = (
    "Alder", "Blackrock", "Coldwater", "Dovetail", "Eastgate", "Fernhill", "Granite", "Highmoor",
    "Ironbridge", "Juniper", "Keystone", "Larkspur", "Millstone", "Northwick", "Oakline",
    "Pinecrest", "Quarryside", "Redfern", "Silverbrook", "Tidewater",
)  # fmt: skip
VENDOR_TAILS = (
    "Mechanical", "Electric", "Concrete", "Steel Erectors", "Roofing", "Glazing", "Plumbing",
    "Drywall & Paint", "Earthworks", "Masonry", "Fire Protection", "Elevators",
)  # fmt: skip
TRADES = (
    "Concrete", "Drywall", "Electrical", "Fire Protection", "Glazing", "HVAC", "Masonry",
    "Plumbing", "Roofing", "Structural Steel",
)  # fmt: skip
SUBJECTS = (
    "Beam clash at {place}", "Door hardware schedule for {place}", "Slab opening at {place}",
    "Ceiling height at {place}", "Fire rating of the wall at {place}",
    "Waterproofing detail at {place}", "Curtain wall anchor at {place}",
    "Conduit routing through {place}", "Missing dimension at {place}", "Handrail at {place}",
    "Rebar congestion at {place}", "Paint colour at {place}",
)  # fmt: skip
PLACES = (
    "Level 1, grid A4", "Level 2, grid C7", "Level 3 plant room", "the north stair",
    "the south lobby", "the loading dock", "Level 5, grid F2", "the roof, east parapet",
    "basement car park", "lift shaft 2", "the main entrance", "Level 4 corridor",
)  # fmt: skip
QUESTIONS = (
    "The drawings and the specification disagree. Which one governs?",
    "Please confirm the dimension marked on the attached sketch.",
    "The detail cannot be built as shown. Please advise.",
    "May the alternative proposed by the subcontractor be used?",
    "Please provide the missing information so that fabrication can start.",
)  # fmt: skip
MATERIALS = (
    "Shop drawings", "Product data", "Mock-up", "Samples", "Mix design", "Test reports",
    "Warranty", "Operation manual",
)  # fmt: skip
SPECIFICATIONS = (
    "Cast-in-place concrete", "Structural steel framing", "Aluminium storefronts",
    "Gypsum board assemblies", "Fire-suppression sprinklers", "Air-handling units",
    "Switchboards", "Roof membrane", "Elevators", "Resilient flooring",
)  # fmt: skip
DEFECTS = (
    "Scratched glass", "Uneven grout", "Loose handrail", "Missing sealant", "Paint damage",
    "Door does not close", "Leaking valve", "Cracked tile", "Exposed cable", "Blocked drain",
)  # fmt: skip
CITIES = (
    ("Port Alden", "WA", "98104"), ("Westhaven", "OR", "97205"), ("Carrow Falls", "CO", "80203"),
    ("Brookmere", "TX", "78701"), ("Stonebridge", "NY", "10013"),
)  # fmt: skip
STREETS = ("Quay Street", "Mill Lane", "Foundry Road", "Station Avenue", "Harbour View")
COST_CODES = (
    ("01-000", "General Requirements"), ("01-510", "Temporary Utilities"),
    ("02-410", "Demolition"), ("03-300", "Cast-in-Place Concrete"), ("03-410", "Precast Concrete"),
    ("04-200", "Unit Masonry"), ("05-120", "Structural Steel"), ("06-100", "Rough Carpentry"),
    ("07-500", "Membrane Roofing"), ("08-110", "Steel Doors and Frames"),
    ("08-440", "Curtain Wall"), ("09-290", "Gypsum Board"), ("09-680", "Carpeting"),
    ("14-200", "Elevators"), ("21-130", "Sprinklers"), ("22-110", "Plumbing Piping"),
    ("23-730", "Air Handling"), ("26-240", "Switchboards"), ("31-200", "Earth Moving"),
    ("32-120", "Paving"),
)  # fmt: skip
