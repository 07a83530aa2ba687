"""A faithful Procore on loopback, for rehearsals without an account and for tests."""
