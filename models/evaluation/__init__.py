"""Scores a model gives to text."""
