"""PostgreSQL servers: figures and statements as metrics, slow statements as spans."""
