"""The report as one HTML file: the page, its charts, and the compressed columns of its table of all jobs."""
