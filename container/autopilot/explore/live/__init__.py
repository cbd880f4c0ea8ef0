"""The live page: a running client or endpoint, followed and shown; nothing is ever changed there."""
