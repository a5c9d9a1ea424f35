"""The rules of orders: which requests place one, what the shop's answer says of it, and what a repeat does."""
