"""Text from a decoder: sampling in process."""
