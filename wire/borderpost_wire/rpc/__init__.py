"""gRPC over HTTP/2 (grpc/doc/PROTOCOL-HTTP2.md), without I/O: messages in bodies, statuses in trailers, requests."""
