"""The nightly clearing job."""
