"""What the backends share: everything about a rotary module that does not depend on the framework."""
