"""Where a run happens: devices, processes, signals."""
