"""The load harness: figures as ratios against a named rival or limit."""
