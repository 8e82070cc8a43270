"""The command line: `crdtkv`, or `python -m crdtkv`. Needs the extra crdtkv[cli]; docs/cli.md shows every command.

`main` reads the command line and turns errors into exit codes; `keys`, `files`, `bundles`, `history`, `live` and `play`
are the commands; `command` is what they have in common, `target` opens files, `paths` finds what is inside a value,
`screen` and `jsonout` write, `progress` says how far it is, `lanes` draws, `replay` measures. Nothing of it is imported
by `import crdtkv`.
"""
