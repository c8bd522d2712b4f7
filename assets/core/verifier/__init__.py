"""Whether a response has the right answer. See README.md for the rules and for what is counted apart."""

from assets.core.verifier.outcome import Answer, Grade, Outcome
from assets.core.verifier.verifier import Kind, Verifier, VerifierSettings

__all__ = ["Answer", "Grade", "Kind", "Outcome", "Verifier", "VerifierSettings"]
