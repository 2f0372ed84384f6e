"""One module for each page: its addresses, and what its template is given."""
