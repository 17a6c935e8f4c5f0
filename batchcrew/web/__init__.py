"""The live page: the batches of a ledger in a browser, read from the ledger and controlled by the use cases of `app`.

| module | contains |
|---|---|
| `server.py` | `LivePage`: the server on loopback; start here |
| `sessions.py`, `security.py` | who may see the page, and which requests may change anything |
| `site.py` | what every handler needs: the ledger, the templates, the watched changes |
| `changes.py` | reports that the ledger has changed, as server-sent events |
| `pages.py`, `job_pages.py` | what is shown |
| `actions.py`, `retries.py`, `answers.py` | what changes the batch |
| `templates/`, `static/` | Jinja2 templates, one style sheet, one script |
"""
