"""Messages on the wire: our own small schemas, compatible with Envoy 1.40, and what is generated from them."""
