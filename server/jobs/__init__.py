"""Jobs that outlive every process: the store, its leases, uploads, and the workers. docs/jobs.md says how they hold."""
