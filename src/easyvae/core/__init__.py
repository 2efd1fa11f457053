"""What every room stands on and knows of no model: checks, files, locks, seeds."""
