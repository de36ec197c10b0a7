"""Turn a tree of class folders into manifests: ``hiera-video prepare folder``, as a file.

python datasets/folder/prepare.py VIDEOS OUTPUT_DIR [--images] [--val-share 0.2] [--seed 0]
    [--group REGEX] [folds=N]
"""

from hiera_video.cli import main

if __name__ == "__main__":
    main("prepare folder")
