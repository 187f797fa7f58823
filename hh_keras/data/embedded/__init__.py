"""Real images inside the package: a class-balanced part of Fashion-MNIST."""

import pathlib

DIRECTORY = pathlib.Path(__file__).parent / "fashion_mnist_subset" / "1.0.0"
