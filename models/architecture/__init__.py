"""The decoder of InternLM2 and its form as a Hugging Face folder."""
