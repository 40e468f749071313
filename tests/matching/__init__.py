"""Linear sum assignment over a batch."""
