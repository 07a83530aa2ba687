"""Where a test's randomness comes from: printed, so that a failure can be tried again."""

import os
import random

__all__ = ["chosen_seed", "whole_number"]


def chosen_seed() -> int:
    """Return ``CLOUD_CONNECT_SEED``, or else a fresh seed; print it for a replay."""
    seed = whole_number("CLOUD_CONNECT_SEED", random.SystemRandom().randrange(10_000, 1_000_000))
    print(f"replay with CLOUD_CONNECT_SEED={seed}")  # noqa: T201 - pytest shows it on failure
    return seed


def whole_number(variable: str, otherwise: int) -> int:
    """Return a variable of the environment as a number."""
    text = os.environ.get(variable, "")
    return int(text) if text.strip() else otherwise
