"""What a rollout is and what happens to it next. Pure: no clock, no network, no logging."""
