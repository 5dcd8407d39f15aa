"""A tress plug-in in Python: classes become kinds of provider, and their methods what every protocol can call.

Needs nothing but Python 3.10 or later. tress starts the program and speaks AMP with it: the messages are in the guide of
tress, "Plug-ins". Standard output is tress's; whatever is printed, and every traceback, goes to tress's log.

    class Quoter:                       # kind = "NAME.quoter", where NAME.toml says how this program is started
        "Says something worth remembering."
        options = {"quote": Option("string", "What is said.", default="Carpe diem.")}

        def __init__(self, quote): ...

        def quotes(self, count: Between(int, 1, 100)) -> list[str]:
            "That many quotes."

    serve("my-quotes", "1.0", [Quoter])
"""
import base64, inspect, json, os, struct, threading, traceback, types, typing
from concurrent.futures import ThreadPoolExecutor

VERSION = 1
LONGEST = 0xFFFF  # bytes of a value of AMP


class Fault(Exception):
    "Fails a call such that its caller is told the code and the message; of any other exception only the log is told."

    def __init__(self, code, message):
        super().__init__(message)
        self.code = code


class Option(typing.NamedTuple):
    "A key of [provide.NAME]: string, strings, path, integer, count, boolean, duration (s), size (bytes), table."
    type: str
    doc: str
    default: object = None
    required: bool = False


def Between(kind, least, most):
    "A number from least to most; or a text, bytes or a list as long."
    return typing.Annotated[kind, (least, most)]


PLAIN = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null", dict: "object"}


def schema(kind):
    "The JSON Schema of a type."
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        inner, ends = schema(arguments[0]), arguments[1]
        words = {"string": "{}Length", "array": "{}Items"}.get(inner["type"], "{}imum")
        return {**inner, words.format("min"): ends[0], words.format("max"): ends[1]}
    if origin in (typing.Union, types.UnionType) and len(arguments) == 2 and type(None) in arguments:
        inner = schema(next(a for a in arguments if a is not type(None)))
        plain = isinstance(inner.get("type"), str)
        return {**inner, "type": [inner["type"], "null"]} if plain else {"anyOf": [inner, {"type": "null"}]}
    if origin is list:
        return {"type": "array", "items": schema(arguments[0])}
    if typing.is_typeddict(kind):
        fields = typing.get_type_hints(kind, include_extras=True)
        return {"type": "object", "properties": {k: schema(t) for k, t in fields.items()}, "required": list(fields)}
    if kind is bytes:
        return {"type": "string", "contentEncoding": "base64"}
    if kind in PLAIN:
        return {"type": PLAIN[kind]}
    if kind in (typing.Any, inspect.Parameter.empty):
        return True
    raise TypeError(f"no schema for {kind!r}")


def plain(method, arguments):
    "The arguments as the method wants them: bytes come as base64."
    hints = typing.get_type_hints(method)
    return {name: base64.b64decode(v) if hints.get(name) is bytes else v for name, v in arguments.items()}


def describe(kind):
    "What tress needs to know of a class."
    methods = []
    for name, method in inspect.getmembers(kind, inspect.isfunction):
        if name.startswith("_") or name == "caller":
            continue
        hints = typing.get_type_hints(method, include_extras=True)
        names = list(inspect.signature(method).parameters)[1:]
        told = {"name": name, "doc": (inspect.getdoc(method) or "").split("\n\n")[0]}
        told["arguments"] = [{"name": n, "schema": schema(hints.get(n, typing.Any))} for n in names]
        if "return" in hints:
            told["result"] = schema(hints["return"])
        methods.append(told)
    doc = (inspect.getdoc(kind) or "").split("\n\n")[0]
    options = []
    for name, option in getattr(kind, "options", {}).items():
        told = {"name": name, "type": option.type, "doc": option.doc, "required": option.required}
        options.append(told if option.default is None else {**told, "default": option.default})
    interface = {"name": getattr(kind, "interface", kind.__name__), "doc": doc, "methods": methods}
    return {"doc": doc, "options": options, "interface": interface}


def serve(name, release, classes, threads=1):
    """Answers tress until it ends the input. A class's kind is its name in small letters, or its `kind`; an object that wants
    to know who calls has an attribute `caller`, which gets {"peer": .., "avatar": ..}. With more threads than one, so many
    calls run at once."""
    kinds = {getattr(c, "kind", c.__name__.lower()): c for c in classes}
    objects, lock = {}, threading.Lock()
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)  # nobody else reads or writes in between,
    os.dup2(2, 1)  # and what is printed goes to the log

    def send(box):
        out = bytearray()
        for key, value in box.items():
            if len(value) > LONGEST:
                raise Fault("too-large", f"`{key}` has more than the {LONGEST} bytes that a value of AMP may have")
            out += struct.pack(">H", len(key)) + key.encode() + struct.pack(">H", len(value)) + value
        with lock:
            answers.write(out + b"\0\0")
            answers.flush()

    def call(object, method, arguments, peer=None, avatar=None):
        target = objects[object]
        if hasattr(target, "caller"):
            target.caller = {"peer": peer, "avatar": avatar}
        function = getattr(target, method)
        return function(**plain(function, json.loads(arguments)))

    commands = {
        "hello": lambda version, engine: {"version": VERSION, "name": name, "release": release, "kinds": list(kinds)},
        "describe": lambda kind: describe(kinds[kind]),
        "make": lambda kind, object, options: objects.update({object: kinds[kind](**json.loads(options))}),
        "call": call,
        "forget": lambda object: objects.pop(object, None) and None,
    }

    def answer(command, ask, arguments):
        def refuse(code, message):
            send({"_error": ask, "_error_code": code.encode(), "_error_description": str(message).encode()[:LONGEST]})

        try:
            result = commands[command](**arguments)
            text = json.dumps(result, default=lambda raw: base64.b64encode(raw).decode(), allow_nan=False)
            send({"_answer": ask} | ({} if result is None else {"result": text.encode()}))
        except Fault as fault:
            refuse(fault.code, fault)
        except Exception:
            traceback.print_exc()
            refuse("UNHANDLED" if command not in commands else "UNKNOWN", "internal error")

    def part():
        length = struct.unpack(">H", requests.read(2))[0]
        return requests.read(length)

    with ThreadPoolExecutor(threads) as pool:
        try:
            while True:
                box = {}
                while key := part():
                    box[key.decode()] = part()
                ask, command = box.pop("_ask"), box.pop("_command").decode()
                arguments = {name: value.decode() for name, value in box.items()}
                if command == "call":
                    pool.submit(answer, command, ask, arguments)
                else:
                    answer(command, ask, arguments)
        except (struct.error, KeyboardInterrupt):
            pass  # tress has ended the input
