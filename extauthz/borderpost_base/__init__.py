"""What every part of Borderpost shares; it imports none of them.

Registries (errors, metrics, limits) that code, docs and schema are made from, strict YAML loading,
logging, and the `World` seam through which time, randomness and disk enter.
"""
