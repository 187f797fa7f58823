"""A command per file: what --help says, its flags, and what it does with them."""
