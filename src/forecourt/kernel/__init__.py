"""What every module stands on: values, database, contracts, events, jobs, HTTP. It names no module."""
