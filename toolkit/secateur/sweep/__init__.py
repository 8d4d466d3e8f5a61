"""Many runs: read, checked, carried out on processes or a cluster, kept in one file, resumed."""
