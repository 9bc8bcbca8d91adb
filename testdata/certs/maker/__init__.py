"""What makes the test files of `appproxy check-cert`; see `generate.py`."""
