"""Case2Code: learning to write a program from its input and output cases."""
