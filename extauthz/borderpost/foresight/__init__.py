"""What would happen to traffic if regions, operators, countries or the law were to change: `whatif` and `risk`."""
