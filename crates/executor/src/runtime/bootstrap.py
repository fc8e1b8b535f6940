"""Runs the user's program as `python -c`, `python FILE` or `python -` would, with an import policy in force.

Executed by `imports.rs` in a namespace of its own, which holds `POLICY`. What it refuses is a promise about
names; what the names stand for is closed by the kernel, whatever happens in here. Python 3.6 and later.
"""
import sys


def _start(policy):
    # Until the policy stands nothing may be imported from the workspace: a file `os.py` there would be ours.
    first = sys.path.pop(0) if sys.path and sys.path[0] == "" else None
    import builtins
    import posix
    import os

    here = sys._getframe(0).f_code.co_filename
    main = sys.modules["__main__"].__dict__
    plain_import = builtins.__import__
    importing = sys.modules["_frozen_importlib"]
    allowed, blocked = policy["allowed"], policy["blocked"]
    realpath = os.path.realpath

    def below(path, folders):
        return any(path.startswith(folder) for folder in folders)

    # The interpreter's own folders, as they are before the program runs. Where they really lie is looked up when it is
    # first asked, which short programs never do.
    own = {sys.prefix, sys.base_prefix, sys.exec_prefix, os.__file__.rpartition("/")[0]}
    own.update(os.path.abspath(entry) if entry[0] != "/" else entry for entry in sys.path if entry)
    places = []

    def look():
        roots = tuple(realpath(root).rstrip("/") + "/" for root in policy["roots"])
        # One that holds a whole workspace says nothing about the files in it.
        real = (realpath(folder).rstrip("/") + "/" for folder in own)
        installed = tuple(folder for folder in real if folder != "/" and folder not in roots)
        inner = tuple(folder for folder in installed if below(folder, roots))  # a venv inside the workspace
        return [roots, installed, inner]

    verdicts = {}

    def user_file(path):
        verdict = verdicts.get(path)
        if verdict is None:
            if not places:
                places.extend(look())
            roots, installed, inner = places
            real = realpath(path)
            if below(real, roots):
                verdict = not below(real, inner)
            else:
                verdict = not below(real, installed)
            verdicts[path] = verdict
        return verdict

    def by_user(frame):
        """Whether the nearest frame of which that can be told is the user's. Unknown means yes."""
        while frame is not None:
            space = frame.f_globals
            name = frame.f_code.co_filename
            if space is main:
                return True
            if name != here:
                if name.startswith("<frozen "):
                    return False
                if not name.startswith("<"):
                    return user_file(name)
                # Code from a string: it is whose namespace it runs in, else whoever called it.
                module = sys.modules.get(space.get("__name__"))
                path = space.get("__file__")
                if path and module is not None and module.__dict__ is space:
                    return user_file(path)
            frame = frame.f_back
        return True

    def covers(rule, name):
        return name == rule or name.startswith(rule + ".")

    def refusal(name):
        """The rule that refuses this dotted name, in words; None when there is none."""
        for rule in blocked:
            if covers(rule, name):
                return "Blocked import: {!r} is refused by blocked_imports ({})".format(name, rule)
        if allowed is not None and not any(covers(rule, name) for rule in allowed):
            listed = ", ".join(allowed) or "nothing"
            return "Blocked import: {!r} is not in allowed_imports ({})".format(name, listed)
        return None

    def refuse(name, why):
        error = ImportError(why)
        error.name = name
        raise error

    def check(name, names, relative):
        for rule in blocked:
            if covers(rule, name):
                refuse(name, refusal(name))
            for item in names:
                if covers(rule, name + "." + item):
                    refuse(name + "." + item, refusal(name + "." + item))
        if allowed is None or relative or any(covers(rule, name) for rule in allowed):
            return
        # `from os import path` is an import of `os.path` and of nothing else.
        if not names or any(refusal(name + "." + item) for item in names):
            refuse(name, refusal(name))

    def guarded_import(name, globals=None, locals=None, fromlist=(), level=0):
        if isinstance(name, str) and by_user(sys._getframe(1)):
            full = name
            if level > 0 and globals is not None:
                full = importing._resolve_name(name, importing._calc___package__(globals), level)
            names = [item for item in fromlist or () if isinstance(item, str) and item != "*"]
            check(full, names, level > 0)
        module = plain_import(name, globals, locals, fromlist, level)
        if pending:
            close_attributes()
        return module

    def guarded_import_module(name, package=None):
        if isinstance(name, str) and by_user(sys._getframe(1)):
            dots = len(name) - len(name.lstrip("."))
            full = importing._resolve_name(name[dots:], package, dots) if dots and package else name
            check(full, (), dots > 0)
        return plain_import_module[0](name, package)

    def guarded_dunder_import(name, globals=None, locals=None, fromlist=(), level=0):
        return guarded_import_from(sys._getframe(1), name, globals, locals, fromlist, level)

    def guarded_import_from(frame, name, globals, locals, fromlist, level):
        if isinstance(name, str) and level == 0 and by_user(frame):
            check(name, [item for item in fromlist or () if isinstance(item, str) and item != "*"], False)
        return plain_import(name, globals, locals, fromlist, level)

    plain_import_module = []
    pending = []  # (module, attribute, what to do), until the module is there

    def close_attributes():
        for entry in list(pending):
            module = sys.modules.get(entry[0])
            if module is None or not hasattr(module, entry[1]):
                continue
            # A module that imports in a circle may not be complete yet; it comes by again.
            pending.remove(entry)
            entry[2](module, entry[1])

    def block_attribute(module, attribute):
        plain = getattr(module, attribute)
        # A submodule is refused where it is imported, and a class must stay a class for whoever subclasses it.
        if not callable(plain) or isinstance(plain, type):
            return
        full = module.__name__ + "." + attribute
        why = refusal(full) or "Blocked import: {!r}".format(full)

        def guarded(*args, **kwargs):
            if by_user(sys._getframe(1)):
                refuse(full, why)
            return plain(*args, **kwargs)

        guarded.__name__ = guarded.__qualname__ = attribute
        guarded.__doc__ = getattr(plain, "__doc__", None)
        setattr(module, attribute, guarded)

    def explain_exec(module, attribute):
        def closed(*args, **kwargs):
            raise PermissionError(1, policy["exec_closed"])

        closed.__name__ = closed.__qualname__ = attribute
        setattr(module, attribute, closed)

    def guard_importlib(module, attribute):
        plain_import_module.append(module.import_module)
        module.import_module = guarded_import_module
        module.__import__ = guarded_dunder_import

    pending.append(("importlib", "import_module", guard_importlib))
    for rule in blocked:
        if "." in rule:
            module, attribute = rule.rsplit(".", 1)
            pending.append((module, attribute, block_attribute))
            if module == "os":
                pending.append(("posix", attribute, block_attribute))
    if policy["exec_closed"]:
        # What the kernel refuses anyway, with a message that says which rule it was.
        pending.append(("_posixsubprocess", "fork_exec", explain_exec))
        for attribute in ("system", "execv", "execve", "posix_spawn", "posix_spawnp"):
            for module in (os, posix):
                if hasattr(module, attribute) and not any(covers(rule, "os." + attribute) for rule in blocked):
                    explain_exec(module, attribute)
    close_attributes()
    builtins.__import__ = guarded_import

    def without_us(trace):
        """A traceback without the frames of this file."""
        kept = []
        while trace is not None:
            if trace.tb_frame.f_code.co_filename != here and trace.tb_frame is not stub:
                kept.append(trace)
            trace = trace.tb_next
        following = None
        for trace in reversed(kept):
            trace.tb_next = following
            following = trace
        return following

    def clean(error, seen):
        if error is None or id(error) in seen:
            return
        seen.add(id(error))
        error.__traceback__ = without_us(error.__traceback__)
        clean(error.__cause__, seen)
        clean(error.__context__, seen)
        for inner in getattr(error, "exceptions", None) or ():
            if isinstance(inner, BaseException):
                clean(inner, seen)

    def read(path):
        with open(path, "rb") as file:
            return file.read()

    stub = sys._getframe(1).f_back
    kind, program = policy["kind"], policy["program"]
    # argv is [-c, CODE?, arguments...]
    if kind == "argument":
        source, name, sys.argv = sys.argv[1], "<string>", ["-c"] + sys.argv[2:]
        source = source.encode("utf-8", "surrogateescape")
    elif kind == "code_file":
        source, name, sys.argv = read(program), "<string>", ["-c"] + sys.argv[1:]
    elif kind == "stdin":
        source, name, sys.argv = sys.stdin.buffer.read(), "<stdin>", ["-"] + sys.argv[1:]
        main["__file__"] = name
        main["__cached__"] = None
    else:
        name, sys.argv = program, [program] + sys.argv[1:]
        # From 3.9 on the program knows its absolute path, whatever argv[0] says.
        if sys.version_info >= (3, 9) and not name.startswith("/"):
            name = os.path.join(os.getcwd(), name[2:] if name.startswith("./") else name)
        try:
            source = read(program)
        except OSError as error:
            called = getattr(sys, "orig_argv", [sys.executable])[0]
            message = "{}: can't open file {!r}: [Errno {}] {}\n"
            sys.stderr.write(message.format(called, name, error.errno, error.strerror))
            sys.exit(2)
        if not source.endswith(b"\n"):
            source += b"\n"
        first = None if first is None else os.path.dirname(os.path.realpath(program))
        main["__file__"] = name
        main["__cached__"] = None
        main["__loader__"] = sys.modules["_frozen_importlib_external"].SourceFileLoader("__main__", name)
    if first is not None:
        sys.path.insert(0, first)

    # From 3.13 on, tracebacks quote `-c` code from here; what stands there now is our own stub.
    quoted = sys.modules.get("linecache") if name == "<string>" else None
    quoted = quoted if hasattr(quoted, "_register_code") else None

    def quote_when_it_starts(frame, event, _):
        if event == "call":
            sys.setprofile(None)
            text = source.decode("utf-8", "replace")
            quoted._register_code(frame.f_code, text, name)
            quoted.cache[name] = (len(text), None, text.splitlines(True), name)

    try:
        if name != "<string>":
            source = compile(source, name, "exec", 0, True)
        elif quoted is not None:
            sys.setprofile(quote_when_it_starts)
        # Code by that name is not compiled first: `compile` sets up every class of `ast` before it looks at its
        # argument, a quarter of the interpreter's own start. `exec` does not, and gives this name itself.
        exec(source, main)
    except SystemExit:
        raise
    except BaseException as error:
        if sys.getprofile() is quote_when_it_starts:  # it did not start: a syntax error
            sys.setprofile(None)
        clean(error, set())
        trace, hook = error.__traceback__, sys.excepthook

        def show(kind, error, _):
            sys.excepthook = hook
            error.__traceback__ = trace
            hook(kind, error, trace)

        # Raised again, so that the interpreter itself ends as it would: status, signals, buffers.
        sys.excepthook = show
        raise


_start(POLICY)
