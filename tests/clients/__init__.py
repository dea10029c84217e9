"""Real clients, unmodified, against one broker: what their users would notice."""
