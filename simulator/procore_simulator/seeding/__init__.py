"""Made-up construction data, the same for the same seed and day."""
