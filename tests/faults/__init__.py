"""The whole command, killed, doubled, given bad input, and run again after changes."""
