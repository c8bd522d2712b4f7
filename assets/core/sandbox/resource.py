"""The sandbox as a Dagster resource."""

from __future__ import annotations

from dataclasses import replace

import dagster as dg
from pydantic import Field

from assets.core.sandbox.program import MIB, Limits
from assets.core.sandbox.sandbox import Sandbox, identity


class SandboxResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Where programs run. Their limits and Python count in the fingerprint, how many run at once does not."""

    workers: int = Field(0, ge=0, description="Programs at once; 0: one for each core that this process may use.")
    memory_mib: int = Field(512, gt=0, description="Memory of one program. MiB.")

    def identity(self) -> dict[str, object]:
        return identity(self.limits())

    def limits(self, seconds: float | None = None) -> Limits:
        """The limits of a program, with a wall clock and processor time of its own where `seconds` is given."""
        limits = Limits(memory_bytes=self.memory_mib * MIB)
        return limits if seconds is None else replace(limits, seconds=seconds, cpu_seconds=seconds)

    def open(self) -> Sandbox:
        """A running sandbox, to be closed. Raises AthanorError where there is no bubblewrap."""
        return Sandbox(self.workers or None, self.limits())
