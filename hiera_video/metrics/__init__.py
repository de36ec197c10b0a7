"""Figures from scores: pure functions, which know no manifest and no model."""
