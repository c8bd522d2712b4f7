"""OREAL (arXiv 2502.06781): reinforcement learning from outcomes."""
