"""What operators see and do over HTTP, on an address of its own: never on the public one."""
