"""Answers of language models, asked once and kept: keys, store, ledger of costs, budget, roles."""
