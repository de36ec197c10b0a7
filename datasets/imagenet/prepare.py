"""Turn the folders of ImageNet-1K into manifests of images.

    python datasets/imagenet/prepare.py IMAGES OUTPUT_DIR [--words FILE] [--val-solution FILE]

``IMAGES`` has ``train/<synset>/*.JPEG`` and either ``val/<synset>/*.JPEG`` or, with
``--val-solution LOC_val_solution.csv``, ``val/*.JPEG``. Classes are in the order of their synsets.
``--words`` (``LOC_synset_mapping.txt`` or ``synset_words.txt``) gives them names.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from hiera_video.command import run_command
from hiera_video.config.machinery import CommandLine
from hiera_video.data.file_search import find_files
from hiera_video.decoding.source import IMAGE_SUFFIXES
from hiera_video.errors import UserError
from hiera_video.labels import normalize_label, order_classes
from hiera_video.preparation.lists import Entry, read_pairs, read_rows, write_dataset


def read_names(words: Path | None, synsets: list[str]) -> dict[str, str]:
    """``n01440764 tench, Tinca tinca`` on each line: synset -> words.

    Synsets that share their words, as the two cranes do, keep their number too.
    """
    if words is None:
        return {synset: synset for synset in synsets}
    names = dict(read_pairs(words, "n01440764 tench, Tinca tinca"))
    unknown = [synset for synset in synsets if synset not in names]
    if unknown:
        raise UserError(f"{words}: has no line for {unknown[0]}")
    counts = Counter(names[synset] for synset in synsets)
    return {
        synset: names[synset] if counts[names[synset]] == 1 else f"{names[synset]} ({synset})"
        for synset in synsets
    }


def folder_name(path: Path) -> str:
    """The name of the folder that an image is in: its synset."""
    return normalize_label(path.parent.name)


def val_synsets(images: list[Path], solution: Path | None) -> dict[Path, str]:
    """The synset of each validation image: its folder's name, or what the solution says.

    ``LOC_val_solution.csv`` is ``ImageId,PredictionString``; a string starts with the synset.
    """
    if solution is None:
        return {path: folder_name(path) for path in images}
    rows = read_rows(solution, ["ImageId", "PredictionString"])
    synsets = {row["ImageId"]: row["PredictionString"].partition(" ")[0] for row in rows}
    unknown = [path for path in images if not synsets.get(path.stem)]
    if unknown:
        raise UserError(f"{solution}: has no line for {unknown[0].name}")
    return {path: synsets[path.stem] for path in images}


def main() -> None:
    parser = CommandLine(description="Turn the folders of ImageNet-1K into manifests.")
    parser.add_argument("images", type=Path, help="folder with train and val")
    parser.add_argument("output_dir", type=Path, help="such as data/imagenet1k")
    parser.add_argument("--words", type=Path, help="LOC_synset_mapping.txt or synset_words.txt")
    parser.add_argument("--val-solution", type=Path, help="LOC_val_solution.csv")
    options = parser.parse_args()
    train = find_files(options.images / "train", IMAGE_SUFFIXES)
    val = val_synsets(find_files(options.images / "val", IMAGE_SUFFIXES), options.val_solution)
    synsets = order_classes(map(folder_name, train))
    names = read_names(options.words, synsets)
    entries = [Entry("train", str(path), names[folder_name(path)]) for path in train]
    entries += [Entry("val", str(path), names.get(synset, synset)) for path, synset in val.items()]
    files = {str(path): path for path in [*train, *val]}
    write_dataset(options.output_dir, list(names.values()), entries, files)


if __name__ == "__main__":
    run_command(main)
