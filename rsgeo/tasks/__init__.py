"""One module a verb, from an `Ask` to a `Result`; the only way to make a file."""
