"""Limits files: envoyproxy/ratelimit's format and our own, read with line numbers and compiled to rules."""
