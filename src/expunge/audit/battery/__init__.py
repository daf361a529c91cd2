"""The battery: what is computed from `expunge.audit.pools.Pools` alone, one measure (or family of measures) a file."""
