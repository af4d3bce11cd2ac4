"""Which configurations of which families are tried."""
