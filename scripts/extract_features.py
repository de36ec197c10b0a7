"""Extract features of sliding windows over whole videos.

accelerate launch scripts/extract_features.py checkpoint=DIR data.manifest=CSV output_dir=OUT
"""

from __future__ import annotations

from hiera_video.command import run_command
from hiera_video.config.groups import ClipSettings
from hiera_video.config.machinery import parse_settings
from hiera_video.features.windows import extract_features
from hiera_video.training.settings import FeatureRun


def main() -> None:
    groups = {"clip": (ClipSettings, "of the checkpoint")}
    extract_features(parse_settings(FeatureRun, description=__doc__, open_groups=groups))


if __name__ == "__main__":
    run_command(main)
