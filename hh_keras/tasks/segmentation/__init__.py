"""Networks that give every pixel of an image a class."""
