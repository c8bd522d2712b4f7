"""Resources by profile: the same assets on a laptop and on GPUs."""

from __future__ import annotations

import os
from typing import Any

from assets.core.errors import InputError
from assets.core.home import Home
from assets.core.resources import LakeResource, TrainerResource
from assets.core.tracking import Tracking

# One thread each: a second one adds a third to the speed of a model this small, a second training adds all of it.
TRAINERS = {
    "laptop": TrainerResource(device="cpu", dtype="float32", threads=1),
    "gpu": TrainerResource(device="cuda", dtype="bfloat16", threads=8),
}


def current_profile() -> str:
    """The profile named by `ATHANOR_PROFILE`, by default `laptop`."""
    profile = os.environ.get("ATHANOR_PROFILE", "laptop")
    if profile not in TRAINERS:
        raise InputError(f"unknown profile {profile!r}", f"set ATHANOR_PROFILE to one of {', '.join(TRAINERS)}")
    return profile


def resources(profile: str | None = None) -> dict[str, Any]:
    """Dagster resources of a profile; all that a run keeps lies under the home."""
    home = Home.from_environment()
    return {
        "lake": LakeResource(root=home.lake, work=str(home.work)),
        "tracking": Tracking(tracking_uri=home.tracking_uri, artifacts=str(home.artifacts)),
        "trainer": TRAINERS[profile or current_profile()],
    }
