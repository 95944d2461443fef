"""Stand-in for the AWS library: its exceptions."""
