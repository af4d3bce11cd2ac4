"""What several commands share: options, sources, output, and how each way to fail ends."""
