"""FastMCTS (arXiv 2502.11476): tree search over reasoning steps as a sampling strategy for training data."""
