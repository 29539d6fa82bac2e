"""The service that is deployed to blue and green."""
