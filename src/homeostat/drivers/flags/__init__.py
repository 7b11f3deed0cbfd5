"""Feature flags: what they are known to cause can be turned off, and is put back when all is well."""
