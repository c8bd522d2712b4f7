"""Generated tasks whose truth is known."""
