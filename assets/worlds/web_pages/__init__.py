"""A generated crawl whose defects are known: what a text pipeline should remove, and what it should keep."""
