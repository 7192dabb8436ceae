"""Where counters are kept: each module is one kind of store."""
