"""What a network is for: the loss, the metrics and the checks of a task."""
