"""One-pass evaluation: measures and plots of the field."""
