"""What Python's jsonschema says of TOML files: `schema_peer.py SCHEMA FILE...` prints a line for each, `ok` or the first error."""

import json
import sys
import tomllib

import jsonschema

with open(sys.argv[1], "rb") as file:
    schema = json.load(file)
jsonschema.Draft202012Validator.check_schema(schema)
validator = jsonschema.Draft202012Validator(schema)
for name in sys.argv[2:]:
    with open(name, "rb") as file:
        document = tomllib.load(file)
    errors = [
        "/".join(map(str, error.absolute_path)) + ": " + error.message.replace("\n", " ")
        for error in validator.iter_errors(document)
    ]
    print(errors[0] if errors else "ok")
