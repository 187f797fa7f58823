"""Detection: where in an image which things are."""
