"""The `barnabas` command. Imports everything below it, nothing imports it.

`main` knows the commands; each is a module with `add_parser(subparsers)`, which sets the `run`
that main calls with the parsed arguments. Modules import rich, confluent_kafka and the broker
only inside their functions: `barnabas --help` must not wait for them.
"""
