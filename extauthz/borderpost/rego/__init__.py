"""The law in Rego, for decisions outside the gateway: admission control, Conftest, gates in CI. Pure generation."""
