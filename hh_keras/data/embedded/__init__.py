"""Real images inside the package: a part of Fashion-MNIST, and nine photographs."""

import pathlib

DIRECTORY = pathlib.Path(__file__).parent / "fashion_mnist_subset" / "1.0.0"
PHOTOGRAPHS = pathlib.Path(__file__).parent / "photographs"
