"""What ``caraway doctor`` looks at: each module's checks return findings."""
