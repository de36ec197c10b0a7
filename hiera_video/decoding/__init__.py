"""From a file and frame numbers to frames: this package knows no dataset, clip or model."""
