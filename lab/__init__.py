"""The whole world on one machine: servers that speak Azure's protocols, traffic, faults."""
