"""The policy file: every key once, its presets, and a reader that finds all errors in one pass."""
