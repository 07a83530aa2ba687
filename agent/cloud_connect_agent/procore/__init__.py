"""Procore: what the agent knows of it and how it talks to it."""
