"""The pages of an audit: ``report.json`` → one HTML file and a Markdown text, the same bytes each time (spec 11)."""
