"""For people who look: why a pair was assigned, what a result holds, what a training run shows over time."""
