"""The crew API: routes, request bodies, the OpenAPI description, and what runs executions."""
