"""What is known of each region now, and the choice among the legal ones."""
