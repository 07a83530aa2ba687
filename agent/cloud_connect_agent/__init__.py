"""The on-premise agent: executes tunneled calls with credentials that never leave the PC."""
