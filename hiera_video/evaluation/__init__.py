"""Scores of whole videos, the figures computed from them, and predictions."""
