"""Image restoration: denoising, removing JPEG's traces, super-resolution."""
