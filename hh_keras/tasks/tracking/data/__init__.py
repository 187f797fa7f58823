"""Sequences, pictures and their boxes, from whatever they are stored as."""
