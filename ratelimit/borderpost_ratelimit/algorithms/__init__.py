"""How a limit counts: pure functions of a state, an instant and a charge."""
