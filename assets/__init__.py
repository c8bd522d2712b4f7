"""What is built: one folder per system of the papers, all standing on assets/core."""
