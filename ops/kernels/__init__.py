"""Compiled kernels of ops for the CPU: each module writes its LLVM IR and calls what became of
it; where there is no machine code (yet), or a call is outside what a kernel does, it answers
None and the plain form runs."""
