"""Checks of the pages in headless Chromium, and the README's pictures."""
