"""Network clients, embedded clients, hooks, transactions and forks of one broker at once."""
