"""The agent as a window in the terminal: what it is, how it fares, what it does."""
