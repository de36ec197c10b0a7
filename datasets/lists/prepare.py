"""Turn lists of `path label` lines into manifests: ``hiera-video prepare lists``, as a file.

python datasets/lists/prepare.py OUTPUT_DIR --train LIST --val LIST [--test LIST]
    [--classes FILE] [--root FOLDER] [--separator ,]
"""

from hiera_video.cli import main

if __name__ == "__main__":
    main("prepare lists")
