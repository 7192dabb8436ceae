"""The demonstration: a real Envoy, regions that answer, and the law at work."""
