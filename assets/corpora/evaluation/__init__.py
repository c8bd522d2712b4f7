"""What models are evaluated on, in one table, and the checks that training sets hold none of it."""
