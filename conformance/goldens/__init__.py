"""Recorded answers of published packages, and their replay."""
