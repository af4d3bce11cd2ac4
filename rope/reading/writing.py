"""Placeholder so that reading can be imported first."""
