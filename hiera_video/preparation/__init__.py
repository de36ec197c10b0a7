"""Making manifests and shards of a user's videos, and the demo dataset."""
