"""CUDA: sources compiled at run time, launch wrappers, and NVIDIA's libraries for what they do
best.

Nothing here is imported before a GPU is used or a source is compiled; only `device.CupyDevice`
needs CuPy.  Every source can be compiled without a GPU (`nvrtc`).
"""
