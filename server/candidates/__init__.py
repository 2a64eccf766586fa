"""Finals of low confidence, kept with their audio for a person to correct; only of tenants that have consented."""
