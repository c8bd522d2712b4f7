"""InternLM2's code pipeline: repositories to long training documents (arXiv 2403.17297, §3.1.2)."""
