"""The only reader, decider and actor: one loop, intake of signals, wiring."""
