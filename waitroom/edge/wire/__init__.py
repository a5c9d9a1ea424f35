"""The wire to the client: HTTP/1.1 as it arrives, is bounded, refused or handed on, and answered."""
