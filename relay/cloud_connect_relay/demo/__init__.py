"""The demo: relay, simulator and agent as processes of their own, and a story told with them."""

from cloud_connect_relay.demo.ensemble import Ensemble, start_ensemble
from cloud_connect_relay.demo.processes import ProgramError
from cloud_connect_relay.demo.story import StoryError, tell_story

__all__ = ["Ensemble", "ProgramError", "StoryError", "start_ensemble", "tell_story"]
