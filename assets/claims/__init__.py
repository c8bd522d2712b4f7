"""What was reproduced: the record of a claim, and how claims are shown."""
