"""From a file and frame numbers to frames: nothing here knows of datasets, clips or models."""
