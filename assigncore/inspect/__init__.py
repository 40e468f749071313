"""For people who look: why a pair was assigned, and what a result says."""
