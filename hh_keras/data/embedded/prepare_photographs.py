"""Makes the embedded photographs from the originals.

    python -m hh_keras.data.embedded.prepare_photographs --source DIR --output DIR

The source is the folder of Debian's package `lomiri-wallpapers-16.04`,
`usr/share/backgrounds`. Photographs are made several times smaller, so that what the
camera and its JPEG did to single pixels is gone.
"""

import argparse
from pathlib import Path

from PIL import Image

from hh_keras.errors import DataError

SIDES = {"train": 800, "val": 448}
PHOTOGRAPHS = {
    "train": (
        "aitzgorri_by_Aitzol_Berasategi",
        "life_by_Aitzol_Berasategi",
        "picosdeeuropa_by_Aitzol_Berasategi",
        "Picture_1A_by_freespace",
        "sunset_by_Aitzol_Berasategi",
        "Wine_by_Jakkub_Mede",
    ),
    "val": (
        "friends_by_Aitzol_Berasategi",
        "Picture_0B_by_freespace",
        "seeding_by_Clements_Engelhardt",
    ),
}


def prepare(source: Path, output: Path) -> None:
    """Writes the photographs below `output`, by part: JPEG to train on, PNG to measure.

    Raises:
        DataError: one of the originals is missing.
    """
    for part, names in PHOTOGRAPHS.items():
        folder = Path(output, part)
        folder.mkdir(parents=True, exist_ok=True)
        for name in names:
            path = Path(source, f"{name}.jpg")
            if not path.is_file():
                raise DataError(f"{path} is missing; point --source at its folder.")
            with Image.open(path) as image:
                small = image.convert("RGB")
            side = SIDES[part]
            small.thumbnail((side, side), Image.Resampling.LANCZOS, reducing_gap=None)
            if part == "train":
                small.save(folder / f"{name}.jpg", quality=95, subsampling=0)
            else:
                small.save(folder / f"{name}.png", optimize=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", required=True, help="folder of the originals")
    parser.add_argument("--output", required=True, help="folder to write below")
    args = parser.parse_args()
    prepare(args.source, args.output)


if __name__ == "__main__":
    main()
