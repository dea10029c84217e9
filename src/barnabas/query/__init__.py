"""Topics as tables: `barnabas.scan`."""
