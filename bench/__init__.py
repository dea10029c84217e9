"""Barnabas measured beside its peers, in one run, with the same client."""
