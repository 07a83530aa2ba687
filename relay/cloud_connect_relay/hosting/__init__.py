"""The relay as a service of its machine."""
