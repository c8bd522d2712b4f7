"""Real input: the user's own files and the text every Python installation carries."""
