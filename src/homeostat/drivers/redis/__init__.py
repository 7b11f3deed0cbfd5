"""Redis servers: INFO as metrics, the slow log as spans."""
