"""Backups of a relay: one sealed file, made while it runs, and the way back."""
