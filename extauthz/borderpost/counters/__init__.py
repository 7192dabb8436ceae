"""Counting for threshold laws: what workers count, how the steward adds it up, and when a threshold is reached."""
