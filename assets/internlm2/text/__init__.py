"""InternLM2's text pipeline: rules, deduplication, safety and quality (arXiv 2403.17297, §3.1.1)."""
