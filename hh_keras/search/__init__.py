"""Finding and making a smaller network."""
