"""How the agent signs in to Procore, and keeps signed in."""
