"""Folders of numbered pictures: finding those that are clips, and packing one into an archive."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

from hiera_video.data.file_search import SearchResult, search_files
from hiera_video.decoding.pictures import ARCHIVE_SUFFIXES, open_pictures
from hiera_video.decoding.source import IMAGE_SUFFIXES
from hiera_video.errors import VideoError


def pack_pictures(folder: Path) -> bytes:
    """A tar archive of the pictures of a folder; the same bytes each time.

    Raises:
        VideoError: if they are not numbered as those of one clip.
        OSError: if one cannot be read.
    """
    file = io.BytesIO()
    try:
        pictures = open_pictures(folder)
    except ValueError as error:
        raise VideoError(str(folder), str(error)) from None
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for frame in range(pictures.names.num_frames):
            with pictures.open(frame) as picture:
                data = picture.read()
            info = tarfile.TarInfo(pictures.names[frame])
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return file.getvalue()


def search_picture_folders(root: Path) -> SearchResult:
    """The folders below ``root`` that have pictures in them, and archives, as sorted absolute
    paths; and a count of the other files.

    Raises:
        UserError: as :func:`search_files` does.
    """
    files, passed_over = search_files(root, (*IMAGE_SUFFIXES, *ARCHIVE_SUFFIXES))
    clips = {file if file.suffix.lower() in ARCHIVE_SUFFIXES else file.parent for file in files}
    return SearchResult(sorted(clips), passed_over)
