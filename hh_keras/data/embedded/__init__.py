"""Real images inside the package: a part of Fashion-MNIST, nine photographs, videos
made of their parts, and blood cells with boxes."""

import pathlib

DIRECTORY = pathlib.Path(__file__).parent / "fashion_mnist_subset" / "1.0.0"
PHOTOGRAPHS = pathlib.Path(__file__).parent / "photographs"
SEQUENCES = pathlib.Path(__file__).parent / "sequences"
BLOOD_CELLS = pathlib.Path(__file__).parent / "blood_cells"
