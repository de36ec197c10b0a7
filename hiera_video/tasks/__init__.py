"""Tasks: what is learned, with its targets, losses and figures."""
