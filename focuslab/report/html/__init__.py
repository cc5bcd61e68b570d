"""Any run directories in, one self-contained HTML page out."""
