"""Bad input, generated: files, command lines, requests. `make bad-input` tries thousands, `make test` a few hundred."""
