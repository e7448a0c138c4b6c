"""A model as other libraries would run it: what somebody would take instead of eventsim."""
