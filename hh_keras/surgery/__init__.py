"""Changing a network: plans, masks, scales, and the same graph with other widths."""
