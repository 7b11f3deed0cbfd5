"""One file per schema revision. Never changed once released: databases out there were made by them."""
