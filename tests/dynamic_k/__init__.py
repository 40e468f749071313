"""The assigners by dynamic k: SimOTA, dynamic soft labels, YOLOv7."""
