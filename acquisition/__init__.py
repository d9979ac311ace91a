"""The scan: plan, engine, drift, run store."""
