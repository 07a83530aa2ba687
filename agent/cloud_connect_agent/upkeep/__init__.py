"""What keeps the agent's files over upgrades and moves: their format, backups, restoring."""
