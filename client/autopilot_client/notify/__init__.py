"""Telling people outside the cluster: what is told, in which form, and the queues that it leaves by."""
