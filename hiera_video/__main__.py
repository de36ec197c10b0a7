"""``python -m hiera_video COMMAND ...``: the same as ``hiera-video COMMAND ...``."""

from __future__ import annotations

from hiera_video.cli import main

if __name__ == "__main__":
    main()
