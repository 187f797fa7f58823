"""Images inside the package: a part of Fashion-MNIST, nine photographs, what is made of
their parts, videos and collages with masks, and blood cells with boxes."""

import pathlib

DIRECTORY = pathlib.Path(__file__).parent / "fashion_mnist_subset" / "1.0.0"
PHOTOGRAPHS = pathlib.Path(__file__).parent / "photographs"
COLLAGES = pathlib.Path(__file__).parent / "collages"
SEQUENCES = pathlib.Path(__file__).parent / "sequences"
BLOOD_CELLS = pathlib.Path(__file__).parent / "blood_cells"
