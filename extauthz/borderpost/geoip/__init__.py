"""Where a client address is, from a MaxMind DB file of any schema we know. No network, no default country."""
