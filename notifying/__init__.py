"""Telling people and systems what was done: cards and the outbox."""
