"""Classic consumer groups and their committed offsets, as a pure state machine (`GroupShard`)."""
