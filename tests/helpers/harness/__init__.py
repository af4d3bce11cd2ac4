"""What a test runs its subject in: processes, a terminal, a browser, an interruption at every line."""
