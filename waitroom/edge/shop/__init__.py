"""The way to the shop and back: connections, one request and its answer, header fields, and the tunnel."""
