"""Knowledge Pile: queries that a language model writes find the domain text of a large collection."""
