"""What makes manifests and shards."""
