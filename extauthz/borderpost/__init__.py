"""The decision service: which legal region may serve this request, and the record that says so."""
