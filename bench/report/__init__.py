"""What a run measured, for readers."""
