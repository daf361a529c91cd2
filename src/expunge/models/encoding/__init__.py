"""Records as whole numbers: bins for trees, codes for dot products, tables for other libraries; forgotten like them."""
