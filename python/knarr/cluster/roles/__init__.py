"""The three roles as processes: each composes its part from the settings, tells the supervisor when it serves, ends on
SIGTERM."""
