"""Make the demo's videos: ``hiera-video demo``, as a file.

python datasets/demo/generate.py OUTPUT_DIR
"""

from hiera_video.cli import main

if __name__ == "__main__":
    main("demo")
