"""A tracker's loop from frame to frame, and what is told of it."""
