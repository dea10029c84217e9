"""The real things that tests and benchmarks run: brokers, Kafka's own tools, a Go client.

Imports nothing of Barnabas's own code: a peer only sees the processes.
"""
