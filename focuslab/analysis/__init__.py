"""Records in, numbers out: numpy only, no torch, no plots."""
