"""From encoded images to pixels inside a TensorFlow graph.

It repeats, operation by operation, what `hh_keras.data` does with Pillow when a network
is trained and validated, so that a server sees the pixels that the network has learnt.
"""

from collections.abc import Callable

import tensorflow as tf

from hh_keras.data.views import MARGIN
from hh_keras.errors import ModelError

VIEWS = ("resize", "center")
_MOST_PIXELS = 2**29 // 3  # more and Pillow, as training uses it, refuses too
_JPEG, _PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
_HEAD = 24  # bytes of a PNG file up to the end of its width and height
_OTHERS = {  # how the formats begin that are most often taken for JPEG or PNG
    b"GIF8": "GIF",
    b"BM": "BMP",
    b"RIFF": "WebP",
    b"II*\x00": "TIFF",
    b"MM\x00*": "TIFF",
}


def of_any_number(call: Callable) -> Callable:
    """`call` for batches of no files, too, which convolutions do not take.

    Args:
        call: from strings `(n,)` to a dict of tensors `(n, ...)`.
    """

    def answered(encoded):
        count = tf.size(encoded)
        filled = tf.concat([encoded, tf.fill([tf.cast(count == 0, tf.int32)], "")], 0)
        return {name: found[:count] for name, found in call(filled).items()}

    return answered


def check_decodable(image_shape: tuple, view: str) -> None:
    """Raises ModelError for a view of several cuts, or other than grey and RGB."""
    if view not in VIEWS:
        raise ModelError(
            f"view={view!r} cannot be served; one image in must be one image to look "
            f"at. Choose one of {', '.join(VIEWS)}."
        )
    if image_shape[2] not in (1, 3):
        raise ModelError(
            f"encoded images are grey or RGB; the model takes {image_shape[2]} "
            "channels."
        )


def decode_batch(
    encoded: tf.Tensor, image_shape: tuple, view: str = "resize"
) -> tuple[tf.Tensor, tf.Tensor]:
    """Decodes JPEG and PNG images, as graph operations.

    One image that cannot be read leaves the others alone: its pixels are zero, and its
    error says why. Grey, RGB, palette, CMYK, transparent and 16-bit images are
    converted as `hh_keras.data` converts them; of an animated PNG the first frame
    counts.

    Args:
        encoded: string tensor of shape `(n,)`, the content of one file each.
        image_shape: the wanted `(height, width, channels)`, channels 1 or 3.
        view: one of `VIEWS`: the whole image squashed, or the centre of it.

    Returns:
        float32 tensor `(n, *image_shape)` of whole numbers 0 to 255, and string tensor
        `(n,)`: empty where an image is good, else what is wrong with it.

    Raises:
        ModelError: another view, or other channels.
    """
    check_decodable(image_shape, view)
    count = tf.size(encoded)
    errors = refusals(encoded)
    # tf.data is the one place where TensorFlow lets a graph survive an error. What
    # comes out are the good images with their positions.
    places = tf.range(count)
    readable = tf.data.Dataset.from_tensor_slices(
        (
            tf.boolean_mask(places, errors == ""),
            tf.boolean_mask(encoded, errors == ""),
        )
    )
    decoded = readable.map(
        lambda place, content: (place, _pixels(content, image_shape, view)),
        num_parallel_calls=tf.data.AUTOTUNE,
    ).ignore_errors()
    # One more than there can be, so that the batch is never empty.
    last = tf.data.Dataset.from_tensors((count, tf.zeros(image_shape)))
    batches = decoded.concatenate(last).batch(tf.cast(count, tf.int64) + 1)
    places, images = batches.with_options(_options()).get_single_element()
    shape = tf.concat([[count + 1], image_shape], 0)
    images = tf.scatter_nd(places[:, None], images, shape)[:-1]
    good = tf.scatter_nd(places[:, None], tf.ones_like(places), [count + 1])[:-1] > 0
    damaged = ~good & (errors == "")
    errors = tf.where(damaged, "is a damaged JPEG or PNG file", errors)
    return tf.ensure_shape(images, (None, *image_shape)), errors


def _options():
    """Nothing that is worth its time for a pipeline that lives for one batch."""
    options = tf.data.Options()
    options.autotune.enabled = False
    options.experimental_optimization.apply_default_optimizations = False
    options.deterministic = False
    return options


def _begins(content, head):
    return tf.strings.substr(content, 0, len(head)) == head


def refusals(encoded: tf.Tensor) -> tf.Tensor:
    """What is wrong with files as their first bytes tell; empty where nothing is."""
    heads = tf.strings.substr(encoded, 0, _HEAD)
    heads = tf.strings.substr(tf.strings.join([heads, b"\0" * _HEAD]), 0, _HEAD)
    png = _begins(heads, _PNG)
    wrong = tf.where(png | _begins(heads, _JPEG), "", "is neither JPEG nor PNG")
    for head, name in _OTHERS.items():
        text = f"is a {name} file, neither JPEG nor PNG"
        wrong = tf.where(_begins(heads, head), text, wrong)
    wrong = tf.where(tf.strings.length(encoded) == 0, "is empty", wrong)
    # Width and height, big-endian. TensorFlow finds out for JPEG.
    digits = tf.cast(tf.io.decode_raw(heads, tf.uint8)[:, -8:], tf.float32)
    sides = tf.reshape(digits, (-1, 2, 4)) * [2.0**24, 2.0**16, 2.0**8, 1.0]
    pixels = tf.reduce_prod(tf.reduce_sum(sides, -1), -1)
    text = f"has more than {_MOST_PIXELS:,} pixels"
    return tf.where(png & (pixels > _MOST_PIXELS), text, wrong)


def _pixels(content, image_shape, view):
    """Decodes one JPEG or PNG; fails if it is damaged."""
    image = tf.cond(
        _begins(content, _JPEG),
        lambda: tf.io.decode_jpeg(content, 3, dct_method="INTEGER_ACCURATE"),
        lambda: tf.io.decode_png(content, 3),
    )
    if image_shape[2] == 1:
        image = _luma(image)
    return _resized(image, image_shape[:2], view)


def _luma(image):
    """ITU-R 601 luma in whole numbers of 2**-16, uint8 `(height, width, 1)`."""
    red, green, blue = (tf.cast(image[..., c : c + 1], tf.int32) for c in range(3))
    total = 19595 * red + 38470 * green + 7471 * blue + 2**15
    return tf.cast(tf.bitwise.right_shift(total, 16), tf.uint8)


def _resized(image, size, view):
    """Cuts a view out and resizes it, bilinear and antialiased.

    Rows first, rounded to whole numbers, then columns, rounded again, as Pillow does.
    """
    own = tf.cast(tf.shape(image)[:2], tf.float32)
    wanted = tf.constant(size, tf.float32)
    box = own
    if view == "center":
        box = wanted * tf.reduce_min(own / wanted) / MARGIN
    scale = wanted / box
    shift = -(own - box) / 2 * scale
    image = image[None]
    for axis in (1, 0):
        only = tf.one_hot(axis, 2)
        image = tf.raw_ops.ScaleAndTranslate(
            images=image,
            size=tf.where(only > 0, tf.constant(size), tf.shape(image)[1:3]),
            scale=tf.where(only > 0, scale, 1.0),
            translation=tf.where(only > 0, shift, 0.0),
            kernel_type="triangle",
            antialias=True,
        )
        image = tf.floor(tf.clip_by_value(image, 0.0, 255.0) + 0.5)
    return image[0]
