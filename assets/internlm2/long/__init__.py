"""InternLM2's long-text pipeline: which long documents hold together (arXiv 2403.17297, §3.1.3)."""
