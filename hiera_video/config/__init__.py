"""Settings: groups, and how they become YAML, overrides, ``--help`` and messages."""
