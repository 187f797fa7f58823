"""Fourier transforms as products with small matrices, for maps of some ten cells.

A map of features has 12 to 48 cells a side: two products with constant matrices then
cost less than the convolution before them, are differentiable, and run wherever
products do: in TFLite, in browsers, in int8.
"""

import numpy as np


def forward(side: int) -> tuple[np.ndarray, np.ndarray]:
    """Matrices of the transform of real maps `(side, side)`.

    Returns:
        `(across, down)`, float32: `(half, 2, side)`, from columns to frequencies, of
        which `half = side // 2 + 1` tell all, real and imaginary; `(side, 2, side, 2)`,
        from rows of complex numbers to frequencies.
    """
    across = _turns(np.arange(side // 2 + 1), np.arange(side), side, -1)
    down = _turns(np.arange(side), np.arange(side), side, -1)
    return _pair(across).transpose(0, 2, 1), _product(down)


def backward(side: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Matrices that give the real map back, at `size` places a side between its ends.

    Place j is the middle of the j-th of `size` equal parts of the map, whatever `side`,
    so maps of several sizes come to lie on each other.

    Returns:
        `(down, across)`, float32: `(size, 2, side, 2)` and `(size, half, 2)`.
    """
    places = (np.arange(size) + 0.5) * side / size - 0.5
    signed = np.fft.fftfreq(side, 1 / side)
    down = _turns(places, signed, side, 1) / side
    half = np.arange(side // 2 + 1)
    twice = np.where((half == 0) | (2 * half == side), 1, 2)  # for two columns each
    across = _turns(places, half, side, 1) * twice / side
    return _product(down), _pair(across.conj())


def _turns(a, b, side, sign):
    return np.exp(sign * 2j * np.pi * np.outer(a, b) / side)


def _pair(matrix):
    return np.stack([matrix.real, matrix.imag], -1).astype("float32")


def _product(matrix):
    """A complex matrix `(m, n)` as a real one that takes pairs, `(m, 2, n, 2)`."""
    rows = [[matrix.real, -matrix.imag], [matrix.imag, matrix.real]]
    return np.array(rows, "float32").transpose(2, 0, 3, 1)


def hann(side: int) -> np.ndarray:
    """The cosine window over cells, float32 `(side, side)`, nowhere quite 0."""
    edge = np.sin(np.pi * (np.arange(side) + 0.5) / side) ** 2
    return np.outer(edge, edge).astype("float32")


def bump(side: int, sigma: float, centre: float | None = None) -> np.ndarray:
    """A Gaussian on a map that has no ends, float32 `(side, side)`, 1 at its centre.

    Args:
        side: cells.
        sigma: in cells.
        centre: down and across, in cells; None is the middle of the image,
            `(side - 1) / 2`, half-way between cells if their number is even.
    """
    middle = (side - 1) / 2 if centre is None else centre
    away = np.abs(np.arange(side) - middle)
    away = np.minimum(away, side - away)
    edge = np.exp(-((away / sigma) ** 2) / 2)
    return np.outer(edge, edge).astype("float32")
