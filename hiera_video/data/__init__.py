"""From manifest rows to batches of clips."""
