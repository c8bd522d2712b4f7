"""What every asset stands on."""
