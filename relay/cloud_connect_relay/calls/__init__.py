"""The calls: admitted, dispatched over a tunnel, recorded, and answered at most once."""
