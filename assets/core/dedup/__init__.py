"""Near-duplicate removal by MinHash and locality-sensitive hashing. See README.md."""

from assets.core.dedup.duplicates import SignaturePart, find_duplicates, near_duplicates
from assets.core.dedup.plan import MinHashPlan, candidate_probability
from assets.core.dedup.shingles import jaccard
from assets.core.dedup.signatures import estimate_jaccard, signature_frame

__all__ = [
    "MinHashPlan",
    "SignaturePart",
    "candidate_probability",
    "estimate_jaccard",
    "find_duplicates",
    "jaccard",
    "near_duplicates",
    "signature_frame",
]
