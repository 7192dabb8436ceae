"""The one YAML file: its model, what is laid over it from outside, and what it and its files amount to.

Nothing is imported here: a worker needs a few sections, and not the signatures and clients that others are made of.
"""
