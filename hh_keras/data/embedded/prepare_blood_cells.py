"""Makes the embedded blood cells from the originals.

    python -m hh_keras.data.embedded.prepare_blood_cells --source DIR --output DIR

The source is a folder with `images/` and `boxes.csv` (file, width, height, split,
class, xmin, ymin, xmax, ymax; pixels from 0). The result is a folder as COCO has them.
"""

import argparse
import csv
import json
from pathlib import Path

from PIL import Image

from hh_keras.errors import DataError

WIDTH, QUALITY = 320, 72


def prepare(source: Path, output: Path) -> None:
    """Writes `images/` and `annotations/instances_PART.json` below `output`.

    Raises:
        DataError: boxes.csv is missing.
    """
    if not (source / "boxes.csv").is_file():
        raise DataError(f"{source / 'boxes.csv'} is missing; point --source at it.")
    with (source / "boxes.csv").open() as file:
        rows = list(csv.DictReader(file))
    names = sorted({row["class"] for row in rows})
    for folder in ("images", "annotations"):
        (output / folder).mkdir(parents=True, exist_ok=True)
    for part in sorted({row["split"] for row in rows}):
        own = [row for row in rows if row["split"] == part]
        content = _content(source, output, own, names)
        path = output / "annotations" / f"instances_{part}.json"
        path.write_text(json.dumps(content, separators=(",", ":")) + "\n")


def _content(source, output, rows, names):
    images, annotations = {}, []
    for row in rows:
        file, width = Path(row["file"]).name, int(row["width"])
        scale = WIDTH / width
        if file not in images:
            size = WIDTH, round(int(row["height"]) * scale)
            with Image.open(source / row["file"]) as image:
                small = image.convert("RGB").resize(size, Image.Resampling.LANCZOS)
            small.save(output / "images" / file, quality=QUALITY, optimize=True)
            images[file] = {
                "id": len(images) + 1,
                "file_name": file,
                "width": size[0],
                "height": size[1],
            }
        left, top, right, low = (
            float(row[key]) * scale for key in ("xmin", "ymin", "xmax", "ymax")
        )
        box = [round(x, 1) for x in (left, top, right - left, low - top)]
        annotations.append(
            {
                "id": len(annotations) + 1,
                "image_id": images[file]["id"],
                "category_id": names.index(row["class"]) + 1,
                "bbox": box,
                "area": round(box[2] * box[3], 1),
                "iscrowd": 0,
            }
        )
    categories = [{"id": k, "name": name} for k, name in enumerate(names, 1)]
    return {
        "images": list(images.values()),
        "categories": categories,
        "annotations": annotations,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", required=True, help="folder of the originals")
    parser.add_argument("--output", required=True, help="folder to write below")
    args = parser.parse_args()
    prepare(Path(args.source), Path(args.output))


if __name__ == "__main__":
    main()
