"""Model-written code, run where it can reach nothing. See README.md for what that means."""

from assets.core.sandbox.program import Calls, Limits, Outcome, Program, Raised, Returned, Status
from assets.core.sandbox.sandbox import Sandbox

__all__ = ["Calls", "Limits", "Outcome", "Program", "Raised", "Returned", "Sandbox", "Status"]
