"""Whether a response has the right answer. See README.md for the rules and for what is counted apart."""

from assets.core.verifier.outcome import Answer, Grade, Outcome
from assets.core.verifier.verifier import Kind, Verifier, VerifierSettings, verifier_identity

__all__ = ["Answer", "Grade", "Kind", "Outcome", "Verifier", "VerifierSettings", "verifier_identity"]
