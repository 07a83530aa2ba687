"""What the agent is to the operating system that runs it as a service."""
