"""What a build reports: data, tables."""
