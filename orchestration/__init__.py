"""How things run: definitions, resources by profile, jobs, schedules, sensors, the demo."""
