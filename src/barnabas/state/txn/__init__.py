"""The state machine of the transaction coordinator (KIP-98, 360, 447, 890): no IO, no clock."""
