"""ChainArith: chains of modular arithmetic in which every line of a solution can be checked."""
