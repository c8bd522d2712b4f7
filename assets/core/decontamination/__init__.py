"""Texts of evaluation sets in training data: found, told, and kept out."""
