"""The rate-limit service (Envoy's RLS v3): limits files, algorithms, stores, and the service itself."""
