"""``hiera-video inspect``; it has the work and the settings."""

from hiera_video.cli import main

if __name__ == "__main__":
    main("inspect")
