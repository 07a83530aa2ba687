"""What people send when they ask for help: facts about this PC, without secrets and data."""

from cloud_connect_agent.support.bundle import Bundle, Part
from cloud_connect_agent.support.scrubbing import Scrubber, learn_vault

__all__ = ["Bundle", "Part", "Scrubber", "learn_vault"]
