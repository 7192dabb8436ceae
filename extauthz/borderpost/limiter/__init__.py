"""The limiter: the process that answers Envoy's rate-limit questions, alone or under the steward."""
