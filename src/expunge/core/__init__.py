"""The ground: records, roles, errors, seeds, canonical bytes. Needs only numpy, pydantic and a JSON canonicaliser."""
