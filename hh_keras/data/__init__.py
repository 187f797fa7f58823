"""Image data: what a source is, how its images are decoded and augmented."""
