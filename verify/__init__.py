"""What examines backends, machines and other libraries: parity, audit, golden files, self-test, timing, doctor."""
