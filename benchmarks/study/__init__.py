"""The study behind `benchmarks/heterogeneity.py`: which runs, and what they measure."""
