"""The arms of FastMCTS's training, and which checkpoint each is."""

from __future__ import annotations

# At equal sampling tokens, as published, and cut to equally many rows.
SAMPLED_ARMS = ("rejection", "fastmcts")
SFT_ARMS = (*SAMPLED_ARMS, "rejection_equal_rows", "fastmcts_equal_rows")
# DPO, on the pairs of the trees and on the same pairs with their sides drawn by a coin.
PAIR_ARMS = ("branch_pairs", "random_pairs")
ARMS = ("policy", *SFT_ARMS, *PAIR_ARMS)
POLICY_KEY = "oreal/sft_policy"
CHECKPOINT_OF = {arm: POLICY_KEY if arm == "policy" else f"fastmcts/checkpoint/{arm}" for arm in ARMS}
# What the DPO arms start from: the paper goes on from the model fine-tuned on the search's answers.
PREFERENCE_START = CHECKPOINT_OF["fastmcts"]
