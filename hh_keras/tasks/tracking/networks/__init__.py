"""Networks of two images, and what they learn by."""
