"""Reading a model: its calls, its channels, what they cost."""
