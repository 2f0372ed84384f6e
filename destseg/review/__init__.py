"""The quality engineer's page: evidence, gates, promotion (FastAPI, Jinja, HTMX). Acts run the CLI's own verbs."""
