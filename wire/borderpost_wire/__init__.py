"""A gRPC server for Envoy: one interface between engines and services, and the engines behind it."""
