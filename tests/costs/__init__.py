"""Match costs."""
