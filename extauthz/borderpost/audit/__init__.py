"""The evidence: canonical records, hash chain, durable writer, verification."""
