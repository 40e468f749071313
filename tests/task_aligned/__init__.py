"""Task-aligned assignment: TOOD and the YOLO detectors that follow it."""
