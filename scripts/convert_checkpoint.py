"""Write a checkpoint in another layout.

python scripts/convert_checkpoint.py SOURCE TARGET_DIR --layout {hiera_video,transformers,official}

SOURCE is a directory, a file (also a bare official .pth) or the id of a model on the hub.
"""

from __future__ import annotations

from hiera_video.command import run_command
from hiera_video.models.convert import main

if __name__ == "__main__":
    run_command(main)
