"""How things run: definitions, resources by profile, jobs, schedules, sensors, the commands."""

import os

# Threads that wait by spinning slow each other down many times over as soon as another program uses a core. It must be
# set before torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
