"""HTTP: the server, the gate, the proxy and the pages."""
