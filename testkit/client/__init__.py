"""Stand-ins for what the in-cluster client talks to: a cluster, an endpoint, a source of demand."""
