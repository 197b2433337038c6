"""What the benchmarks share: running programs, compiling them, printing tables, writing tables into pages."""
