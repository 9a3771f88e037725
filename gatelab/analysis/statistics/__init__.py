"""Intervals, differences and effect sizes: pure functions on arrays."""
