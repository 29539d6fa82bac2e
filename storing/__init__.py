"""State that survives the process: one contract, Azure Tables and SQLite."""
