"""The training loop, its data order, objectives, schedule and checkpoints."""
