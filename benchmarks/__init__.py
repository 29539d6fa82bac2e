"""Measurements: what Flex Canary costs, and how sharp its judge is."""
