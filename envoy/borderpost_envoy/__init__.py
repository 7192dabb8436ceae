"""Renders Envoy configuration that cannot leak."""
