"""Examining the videos of a dataset before training on them."""
