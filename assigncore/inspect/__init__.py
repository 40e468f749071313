"""What an assigner decided, made visible: summaries, differences, and what a training run shows over time."""
