"""Moving traffic: pool weights, the marker, probes. Talks to API Management and the slots."""
