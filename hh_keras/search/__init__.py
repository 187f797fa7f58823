"""Finding a smaller network: scores, selection, sparse search."""
