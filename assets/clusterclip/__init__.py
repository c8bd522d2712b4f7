"""ClusterClip Sampling (arXiv 2402.14526): cluster-balanced order and frequency of training documents."""
