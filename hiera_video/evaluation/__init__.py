"""Scores of whole videos, and what they are worth."""
