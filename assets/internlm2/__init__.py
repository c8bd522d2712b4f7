"""InternLM2: tokenizer, decoder and training recipes (arXiv 2403.17297)."""
