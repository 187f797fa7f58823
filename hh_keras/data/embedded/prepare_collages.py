"""Makes the embedded collages, with their masks, out of the other embedded images.

    python -m hh_keras.data.embedded.prepare_collages --output DIR

They are synthetic: clothes of Fashion-MNIST, in a colour of their own, are laid over
pieces of photographs, turned and of several sizes; some hide parts of others. So the
masks are exact. Clothes and photographs of `val` are none of `train`. The same seed
gives the same collages; another Pillow may write other bytes.
"""

import argparse
import dataclasses
import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter
from scipy.ndimage import binary_fill_holes

from hh_keras.data.embedded import DIRECTORY, PHOTOGRAPHS

SIZE = 128, 96
COUNTS = {"train": 240, "val": 60}
CLASSES = ("background", "top", "trousers", "dress", "shoe", "bag")
SEED = 22
QUALITY = 60
# Fashion-MNIST's ten classes, in its order, as ours.
_OF_LABELS = (1, 2, 1, 3, 1, 4, 1, 4, 5, 4)
_LARGER = 4  # clothes of 28 pixels are drawn so much larger, and then made smaller
_CLOTH = 12  # grey levels from which on a pixel is cloth
_SIDES = 30, 64  # of clothes, pixels
_FINER = 2  # collages are drawn in so many parts


@dataclasses.dataclass(frozen=True)
class Cloth:
    """Something to wear: its class, and an image with transparency."""

    label: int
    image: Image.Image


def prepare(output: Path, counts: dict[str, int] | None = None) -> None:
    """Writes images, masks and `classes.txt` below `output`."""
    for number, (part, count) in enumerate((counts or COUNTS).items()):
        rng = np.random.default_rng((SEED, number))
        photos, clothes = _photographs(part), _clothes(part, 4 * count)
        for kind in ("images", "masks"):
            (output / part / kind).mkdir(parents=True, exist_ok=True)
        for k in range(count):
            image, mask = _collage(photos, clothes, rng)
            name = output / part
            image.save(name / f"images/{k:03d}.jpg", quality=QUALITY, optimize=True)
            mask.save(name / f"masks/{k:03d}.png", optimize=True)
    lines = [f"{value} {name}\n" for value, name in enumerate(CLASSES)]
    (output / "classes.txt").write_text("".join(lines), encoding="utf-8")


def _photographs(part):
    paths = sorted((PHOTOGRAPHS / part).iterdir())
    return [Image.open(path).convert("RGB") for path in paths]


def _clothes(part, count):
    """The first pieces of a part, in its order, as many of each of our classes."""
    import tensorflow_datasets as tfds  # takes seconds

    stored = tfds.builder_from_directory(str(DIRECTORY)).as_dataset(
        split={"train": "train", "val": "test"}[part],
        decoders={"image": tfds.decode.SkipDecoding()},
    )
    found: dict[int, list] = {label: [] for label in range(1, len(CLASSES))}
    for example in stored.as_numpy_iterator():
        label = _OF_LABELS[example["label"]]
        own = found[label]
        if len(own) < count // len(found):
            own.append(Cloth(label, _cut_out(example["image"])))
    return [cloth for own in found.values() for cloth in own]


def _cut_out(encoded):
    """A piece of clothing without what is around it, `LA`."""
    grey = Image.open(io.BytesIO(encoded)).convert("L")
    side = _LARGER * grey.width
    cloth = Image.fromarray(binary_fill_holes(np.asarray(grey) > _CLOTH))
    alpha = cloth.convert("L").resize((side, side), Image.Resampling.BICUBIC)
    alpha = alpha.filter(ImageFilter.GaussianBlur(_LARGER / 3))
    sharp = alpha.point(lambda value: max(0, min(255, 4 * value - 384)))
    large = grey.resize((side, side), Image.Resampling.BICUBIC)
    return Image.merge("LA", (large, sharp))


def _collage(photos, clothes, rng):
    width, height = (_FINER * n for n in SIZE)
    image = _piece(photos[rng.integers(len(photos))], (width, height), rng)
    mask = Image.new("L", (width, height))
    for _ in range(rng.integers(1, 5)):
        cloth = clothes[rng.integers(len(clothes))]
        shown = _worn(cloth.image, rng)
        place = [
            int(rng.uniform(-0.2 * own, full - 0.8 * own))
            for own, full in zip(shown.size, (width, height))
        ]
        image.paste(shown.convert("RGB"), place, shown.getchannel("A"))
        solid = shown.getchannel("A").point(lambda value: 255 * (value >= 128))
        mask.paste(cloth.label, place, solid)
    image = image.resize(SIZE, Image.Resampling.BOX)
    middle = np.asarray(mask)[_FINER // 2 :: _FINER, _FINER // 2 :: _FINER]
    return image, Image.fromarray(middle)


def _piece(photo, size, rng):
    """A part of a photograph, of the collage's shape."""
    share = min(photo.width / size[0], photo.height / size[1]) * rng.uniform(0.5, 1)
    wide, high = share * size[0], share * size[1]
    left, top = rng.uniform(0, photo.width - wide), rng.uniform(0, photo.height - high)
    box = (left, top, left + wide, top + high)
    return photo.resize(size, Image.Resampling.BICUBIC, box)


def _worn(cloth, rng):
    """A piece of clothing in a colour, turned, `RGBA`."""
    side = round(_FINER * np.exp(rng.uniform(*np.log(_SIDES))))
    grey, alpha = cloth.resize((side, side), Image.Resampling.LANCZOS).split()
    tint, light = rng.uniform(0.35, 1, 3), rng.uniform(0.7, 1.1)
    bands = [
        grey.point([min(255, int(light * share * (40 + 0.85 * n))) for n in range(256)])
        for share in tint
    ]
    shown = Image.merge("RGBA", (*bands, alpha))
    return shown.rotate(rng.normal(0, 15), Image.Resampling.BICUBIC, expand=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", required=True, help="folder to write below")
    prepare(Path(parser.parse_args().output))


if __name__ == "__main__":
    main()
