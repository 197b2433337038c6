"""What tracing costs a program: workloads, the tracers that are compared, how they are measured, and what they should cost."""
