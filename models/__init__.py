"""The networks, and all that trains, runs and scores them. Imports nothing of the floors above."""
