"""What a check found, written for those who read it: tables, SARIF, and GitHub's annotations."""
