"""What can be said of a policy before any request meets it. Pure: no I/O, no clock."""
