"""Pages of web crawls: WARC, WET, HTML, JSON lines, Parquet and text under one schema."""
