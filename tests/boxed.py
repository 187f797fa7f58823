"""Data sets with boxes for tests: rectangles of two colours on grey."""

import json

import numpy as np
from PIL import Image, ImageDraw

COLORS = {"blue": (20, 40, 230), "red": (230, 30, 20)}


def picture(rng, size=(48, 64), count=2):
    """An image and its objects: `(name, [left, top, right, bottom])`."""
    height, width = size
    image = Image.new("RGB", (width, height), (128, 128, 128))
    objects = []
    for place in range(count):
        name = sorted(COLORS)[int(rng.integers(2))]
        side = int(rng.integers(10, 20))
        left = place * width // count + int(rng.integers(0, width // count - side))
        top = int(rng.integers(0, height - side))
        box = [left, top, left + side, top + side]
        ImageDraw.Draw(image).rectangle(
            [*box[:2], box[2] - 1, box[3] - 1], COLORS[name]
        )
        objects.append((name, box))
    return image, objects


def coco(root, parts=(("train", 6), ("val", 3)), size=(48, 64), change=None):
    """Writes a COCO folder, which `change(content, part)` may spoil; returns it."""
    rng = np.random.default_rng(0)
    for folder in ("images", "annotations"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    names = sorted(COLORS)
    for part, count in parts:
        images, annotations = [], []
        for number in range(count):
            image, objects = picture(rng, size)
            file = f"{part}{number}.png"
            image.save(root / "images" / file)
            sides = {"width": size[1], "height": size[0]}
            images.append({"id": number, "file_name": file, **sides})
            for name, (left, top, right, low) in objects:
                annotations.append(
                    {
                        "image_id": number,
                        "category_id": names.index(name) + 5,
                        "bbox": [left, top, right - left, low - top],
                    }
                )
        categories = [{"id": k + 5, "name": name} for k, name in enumerate(names)]
        content = {
            "images": images,
            "annotations": annotations,
            "categories": categories,
        }
        if change:
            change(content, part)
        path = root / "annotations" / f"instances_{part}.json"
        path.write_text(json.dumps(content))
    return root


def voc(root, count=11):
    """Writes a VOC folder without parts; returns the folder."""
    rng = np.random.default_rng(1)
    for folder in ("Annotations", "JPEGImages"):
        (root / folder).mkdir(parents=True)
    for number in range(count):
        image, objects = picture(rng)
        image.save(root / "JPEGImages" / f"{number:02d}.png")
        found = "".join(
            f"<object><name>{name}</name><difficult>{int(number == 0)}</difficult>"
            f"<bndbox><xmin>{left + 1}</xmin><ymin>{top + 1}</ymin><xmax>{right}</xmax>"
            f"<ymax>{low}</ymax></bndbox></object>"
            for name, (left, top, right, low) in objects
        )
        (root / "Annotations" / f"{number:02d}.xml").write_text(
            f"<annotation><filename>{number:02d}.png</filename><size><width>64</width>"
            f"<height>48</height></size>{found}</annotation>"
        )
    return root
