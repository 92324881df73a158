"""The command line. Importing it costs no torch: commands import what they run."""
