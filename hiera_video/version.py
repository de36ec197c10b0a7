"""The package's version, in one place for the build, the checkpoints and the logs."""

__version__ = "0.1.0"
