"""Restores photographs with a trained network: removes noise, or enlarges.

    python launch/restore.py --model=runs/denoise/lw_dna.keras --images=photo.jpg
    python launch/restore.py --model=edsr.keras --images=holiday/ --output=larger/
    python launch/restore.py --model=runs/denoise/lw_dna.tflite --images=a.png,b.png

Takes grey, RGB and transparent images, also PNG of 16 bits, of any size. Writes
NAME_restored.png beside each, or into --output; never over a file that is there, unless
--overwrite is given. Images that cannot be used are passed over and listed at the end.
"""

import collections
import os
import pathlib
import sys
from collections.abc import Callable, Sequence

from absl.flags import FlagValues

from hh_keras.cli import program
from hh_keras.flag import COUNT, SWITCH, Flag, Number, Text

_SUFFIX = "_restored"

GROUPS = {
    "Model": (
        Flag(
            "model",
            Text("FILE"),
            None,
            "The network: a .keras or .h5 file, or a .tflite file of one tile size.",
            required=True,
        ),
        Flag("scale", COUNT, None, "Stop unless the network enlarges by so much."),
    ),
    "Images": (
        Flag(
            "images",
            Text("FILES"),
            None,
            "Image files and folders of them, separated by commas.",
            required=True,
        ),
        Flag("output", Text("FOLDER"), None, "Where to write; beside the images."),
        Flag("overwrite", SWITCH, False, "Replace earlier results."),
    ),
    "Tiles": (
        Flag("tile", COUNT, None, "Side of the tiles; chosen by the network."),
        Flag(
            "overlap",
            Number(int, least=0),
            None,
            "Pixels by which tiles overlap on each side; less than the network's reach "
            "is faster and may leave seams. Default: the network's reach; of "
            "a .tflite file, what the .json beside it tells.",
        ),
    ),
}


def main(args: FlagValues) -> None:
    # TensorFlow takes seconds to import: only once the flags are known to be right.
    from hh_keras.data.pixels import read_image, write_png
    from hh_keras.errors import DataError, HHError

    jobs = listed(args.images.split(","), args.output)
    restored = opened(args)
    back = "\r" if sys.stdout.isatty() else ""
    skipped, written = [], set()
    for number, (path, output) in enumerate(jobs, start=1):
        label = f"[{number}/{len(jobs)}] {path}"
        try:
            if output.exists() and (output in written or not args.overwrite):
                raise DataError(f"{output} exists; give --overwrite to replace it.")
            image = read_image(path)
            result = restored(image, bar(label))
            write_png(output, result)
            written.add(output)
        except DataError as error:
            skipped.append(str(error))
            print(f"{back}{label}: skipped", flush=True)
            continue
        size = f"{result.shape[1]}x{result.shape[0]}"
        print(f"{back}{label} -> {output} ({size})", flush=True)
    if skipped:
        print(f"\n{len(skipped)} of {len(jobs)} images were skipped:")
        print("\n".join(f"  {text}" for text in skipped))
    if len(skipped) == len(jobs):
        raise HHError("not a single image was restored; the reasons are above.")


def listed(images: Sequence[str], output: str | None) -> list[tuple]:
    """Pairs of image files and where their results go."""
    found = [pair for name in images for pair in files_of(name.strip(), output)]
    names = collections.Counter((folder, path.stem) for path, folder in found)
    jobs = {}
    for path, folder in found:
        # photo.jpg beside photo.png: their results must have different names.
        name = path.stem if names[folder, path.stem] == 1 else path.name
        jobs[path] = folder / f"{name}{_SUFFIX}.png"
    return list(jobs.items())


def files_of(name: str, output: str | None) -> list[tuple]:
    """Image files of a file or folder, each with the folder that its result goes to."""
    from hh_keras.data.folders import images_below
    from hh_keras.errors import DataError

    path = pathlib.Path(name).expanduser()
    if not path.exists():
        raise DataError(f"--images: there is no file or folder {path}.")
    if not path.is_dir():
        return [(path, pathlib.Path(output or path.parent))]
    found = [pathlib.Path(os.fsdecode(x)) for x in images_below(path)]
    found = [x for x in found if not x.stem.endswith(_SUFFIX)]
    if not found:
        raise DataError(f"--images: the folder {path} holds no image files.")
    top = pathlib.Path(output or path)
    return [(x, top / x.relative_to(path).parent) for x in found]


def opened(args: FlagValues) -> Callable:
    """The network as `f(image, progress) → image`."""
    from hh_keras.errors import ModelError
    from hh_keras.graph.reach import reach
    from hh_keras.models import sources
    from hh_keras.tasks.restoration.tiling import restorer

    if args.model.endswith(".tflite"):
        return opened_lite(args)
    model = sources.from_file(args.model)
    restored = restorer(model, args.tile, args.overlap)
    if args.scale and args.scale != reach(model).scale:
        raise ModelError(
            f"--scale={args.scale}: {args.model} enlarges by {reach(model).scale}; "
            "take a network that was trained for that scale."
        )
    return restored


def opened_lite(args: FlagValues) -> Callable:
    """The same of a `.tflite` file."""
    from hh_keras.errors import ModelError
    from hh_keras.export import input_shape, open_model, tiles_of
    from hh_keras.tasks.restoration.tiling import restorer

    run = open_model(args.model)
    height, width, channels = input_shape(args.model)
    if height != width or channels not in (1, 3):
        raise ModelError(
            f"{args.model} takes {height}x{width}x{channels}; images are cut into "
            "square tiles of 1 or 3 channels."
        )
    if args.tile not in (None, height):
        raise ModelError(f"--tile={args.tile}: {args.model} takes tiles of {height}.")
    seen = tiles_of(args.model) or {"multiple": 1}
    overlap = seen.get("overlap") if args.overlap is None else args.overlap
    if overlap is None:
        raise ModelError(
            f"{args.model} does not tell how far it sees, as its .json is missing: "
            "give --overlap, as much as the .keras file it was made from needs."
        )

    def tile(x):
        out = run([x])[0]
        factor = out.shape[1] / height if out.ndim == 4 else 0
        if factor < 1 or args.scale not in (None, factor):
            raise ModelError(
                f"{args.model} makes {out.shape[1:]} of {x.shape[1:]}; that is not an "
                f"image enlarged by {args.scale or 'a whole number'}."
            )
        return out

    return restorer(tile, height, overlap, channels, seen["multiple"])


def bar(label: str) -> Callable[[float], None] | None:
    """Draws a progress bar on a terminal; None elsewhere."""
    if not sys.stdout.isatty():
        return None

    def draw(share):
        full = round(24 * share)
        line = f"\r{label} |{'#' * full}{' ' * (24 - full)}| {share:4.0%}"
        print(line, end="\r" if share < 1 else f"\r{' ' * len(line)}\r", flush=True)

    return draw


entry = program.make(__doc__, GROUPS, main)
