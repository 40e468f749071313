"""The pairs of ground truths and priors: cut into tiles, or listed."""
