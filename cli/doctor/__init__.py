"""`canary doctor`: everything that a rollout needs, looked at. One file a subject, one function a check."""
