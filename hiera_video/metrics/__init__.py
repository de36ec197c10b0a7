"""Figures from scores: pure functions that know no manifest and no model."""
