"""The law as pure functions: schema, compile, decide. Nothing here does I/O or reads a clock."""
