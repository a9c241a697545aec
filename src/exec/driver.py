"""The program of a python session (PythonDriver.ts writes the lines it reads): runs each command's text in `__main__`.

Descriptors 0, 1 and 2 are the command's while it runs, so that what subprocesses and C code print is caught; in between
they are the terminal. Only the main process reads commands: a child that user code forked leaves when its text has ended.
It never writes to a command's output but for tracebacks and the reason why a command was not run. Python 3.8 or newer.
"""


def __reprise():
    import ast
    import asyncio
    import builtins
    import inspect
    import io
    import json
    import linecache
    import os
    import signal
    import sys
    import textwrap
    import traceback
    import types

    VALUE_BYTES_MAX = 64 * 1024
    FUNCTIONS_LENGTH_MAX = 256 * 1024
    folder = sys.argv[1]
    here = __file__
    pid = os.getpid()
    main = types.ModuleType("__main__")
    main.__builtins__ = builtins
    sys.modules["__main__"] = main
    names = main.__dict__
    sys.argv = [""]
    # The interpreter puts the folder of its program first; the user's is the working directory.
    sys.path[:] = [""] + [path for path in sys.path if path != os.path.dirname(os.path.abspath(here))]
    os.environ.setdefault("MPLBACKEND", "Agg")
    # Of this session; user code may replace any of them.
    leave, dup2, write, getcwd = os._exit, os.dup2, os.write, os.getcwd
    imports = {}
    loop = None
    # What the user set for Ctrl-C; ours outside of a command, so that a late one ends nothing.
    on_interrupt = signal.default_int_handler

    def idle_interrupt(_number, _frame):
        pass

    def is_session():
        return os.getpid() == pid

    def frames(*all_fields):
        try:
            # Nobody reads: the host is gone, and nobody will come back to this interpreter.
            control = os.open(folder + "/control", os.O_WRONLY | os.O_NONBLOCK)
        except OSError:
            leave(129)
        os.set_blocking(control, True)
        data = b"".join(
            ("%s:%d" % (tag, len(fields))).encode() + b"\0" + b"".join(field(text) + b"\0" for text in fields)
            for tag, *fields in all_fields
        )
        while data:
            data = data[write(control, data) :]
        os.close(control)

    def field(text):
        return str(text).encode("utf-8", "backslashreplace").replace(b"\0", b"")

    def cwd():
        try:
            return getcwd()
        except OSError:
            return os.environ.get("PWD", "")

    def is_text(value):
        try:
            value.encode()
            return True
        except UnicodeEncodeError:
            return False

    def state():
        nonlocal sources
        # By code object: the text of a function is looked for once.
        known, sources, total, functions = sources, {}, 0, {}
        for name, value in list(names.items()):
            if type(value) is not types.FunctionType or value.__module__ != "__main__":
                continue
            code = value.__code__
            if code in known:
                source = known[code]
            else:
                try:
                    source = textwrap.dedent(inspect.getsource(value))
                except Exception:
                    source = ""
            sources[code] = source
            if source and is_text(source) and total + len(source) <= FUNCTIONS_LENGTH_MAX:
                functions[name] = source
                total += len(source)
        env = {key: value for key, value in os.environ.items() if is_text(key) and is_text(value)}
        return json.dumps({"cwd": cwd(), "env": env, "functions": functions, "imports": list(imports)})

    sources = {}

    def note_imports(tree):
        for node in tree.body:
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                try:
                    imports.setdefault(ast.unparse(node), None)
                except Exception:
                    pass

    def standard_streams():
        # One object for each descriptor as long as nobody closes it: loggers and user code keep references to them.
        for name, number in (("stdout", 1), ("stderr", 2)):
            stream = getattr(sys, name, None)
            if stream is not None and not getattr(stream, "closed", True):
                continue
            opened = io.TextIOWrapper(
                io.BufferedWriter(io.FileIO(number, "w", closefd=False), 65536),
                encoding="utf-8",
                errors="backslashreplace",
                line_buffering=True,
            )
            setattr(sys, name, opened)
            setattr(sys, "__%s__" % name, opened)
        opened = io.TextIOWrapper(
            io.BufferedReader(io.FileIO(0, "r", closefd=False)), encoding="utf-8", errors="surrogateescape"
        )
        sys.stdin = sys.__stdin__ = opened

    def flush():
        for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
            try:
                stream.flush()
            except Exception:
                pass

    def say(text):
        """To the command's standard error, whatever the user made of sys.stderr."""
        try:
            sys.stderr.write(text)
            sys.stderr.flush()
        except Exception:
            data = text.encode("utf-8", "backslashreplace")
            while data:
                try:
                    data = data[write(2, data) :]
                except OSError:
                    return

    def show(error):
        frame = error.__traceback__
        while frame is not None and frame.tb_frame.f_code.co_filename == here:
            frame = frame.tb_next
        # The frames of asyncio between ours and the user's say nothing to anyone.
        while (
            frame is not None
            and frame.tb_next is not None
            and not frame.tb_frame.f_code.co_filename.startswith("<exec ")
            and "asyncio" in frame.tb_frame.f_code.co_filename
        ):
            frame = frame.tb_next
        try:
            text = "".join(traceback.format_exception(type(error), error, frame))
        except Exception:
            text = "%s (its traceback cannot be shown)\n" % type(error).__name__
        say(text)

    def finish_task(coroutine):
        nonlocal loop
        if loop is None or loop.is_closed():
            loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        task = loop.create_task(coroutine)
        try:
            return loop.run_until_complete(task)
        except (KeyboardInterrupt, SystemExit):
            # Else it would go on as soon as another command awaits something.
            task.cancel()
            try:
                loop.run_until_complete(task)
            except BaseException:
                pass
            raise

    def evaluate(source, name):
        text = source.decode("utf-8-sig") if isinstance(source, bytes) else source
        linecache.cache[name] = (len(text), None, text.splitlines(True), name)
        tree = ast.parse(text, name)
        note_imports(tree)
        last = None
        if tree.body and isinstance(tree.body[-1], ast.Expr):
            last = ast.Expression(tree.body.pop().value)
        flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        body = compile(tree, name, "exec", flags=flags, dont_inherit=True)
        tail = None if last is None else compile(last, name, "eval", flags=flags, dont_inherit=True)
        result = None
        for code in (body, tail):
            if code is None:
                continue
            result = eval(code, names)
            if code.co_flags & inspect.CO_COROUTINE:
                result = finish_task(result)
        if tail is None or result is None:
            return None
        names["_"] = result
        shown = repr(result).encode("utf-8", "backslashreplace")
        return shown[:VALUE_BYTES_MAX].decode("utf-8", "ignore")

    def run(command):
        """Exit code, status and value."""
        try:
            with open(command["source"], "rb") as file:
                source = file.read()
            return 0, "completed", evaluate(source, "<exec %d>" % command["exec"])
        except SystemExit as error:
            code = error.code
            if code is None:
                return 0, "exited", None
            if isinstance(code, int):
                return code & 0xFF, "exited", None
            say("%s\n" % (code,))
            return 1, "exited", None
        except KeyboardInterrupt as error:
            show(error)
            return 130, "interrupted", None
        except BaseException as error:
            show(error)
            return 1, "completed", None

    def open_streams(command):
        opened = []
        for path, number, mode in (
            (command["stdin"], 0, os.O_RDONLY),
            (command["stdout"], 1, os.O_WRONLY),
            (command["stderr"], 2, os.O_WRONLY),
        ):
            other = os.open(path, mode | os.O_NOCTTY)
            if other == number:
                os.set_inheritable(number, True)
            else:
                dup2(other, number)
                opened.append(other)
        for other in opened:
            # User code may have closed 0, 1 or 2: a number among them is in use now.
            if other > 2:
                os.close(other)

    def terminal():
        try:
            tty = os.open("/dev/tty", os.O_RDWR)
        except OSError:
            # Hung up: the host is gone.
            leave(129)
        for number in (0, 1, 2):
            if tty != number:
                dup2(tty, number)
            else:
                os.set_inheritable(number, True)
        if tty > 2:
            os.close(tty)

    def own_env(env):
        before = {name: os.environ.get(name) for name in env}
        os.environ.update(env)

        def restore():
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value

        return restore

    def own_cwd(path):
        if path is None:
            return lambda: None
        before = os.open(".", os.O_RDONLY)
        try:
            os.chdir(path)
        except BaseException:
            os.close(before)
            raise

        def restore():
            try:
                os.fchdir(before)
            except OSError:
                pass
            os.close(before)

        return restore

    def serve(command):
        nonlocal on_interrupt
        result = (1, "completed", None)
        restore = []
        open_streams(command)
        try:
            standard_streams()
            try:
                restore.append(own_env(command["env"]))
                restore.append(own_cwd(command["cwd"]))
            except OSError as error:
                say("the command was not run: %s: %s\n" % (command["cwd"], error.strerror))
                result = (1, "refused", None)
            else:
                try:
                    signal.signal(signal.SIGINT, on_interrupt)
                    result = run(command)
                    # A thread that user code left running does not get our handler by surprise.
                    on_interrupt = signal.getsignal(signal.SIGINT) or signal.default_int_handler
                finally:
                    signal.signal(signal.SIGINT, idle_interrupt)
        except KeyboardInterrupt:
            # Ctrl-C in the moment in which the command ended.
            signal.signal(signal.SIGINT, idle_interrupt)
            result = (130, "interrupted", None)
        flush()
        if not is_session():
            leave(result[0])
        value = names.pop("__reprise_value", None)
        for undo in reversed(restore):
            undo()
        terminal()
        code, status, shown = result
        if value is not None:
            shown = value
        if command["mark"]:
            write(1, ("\033]633;D;%s\a" % command["mark"]).encode())
        has = "" if shown is None else "1"
        frames(
            ("state", state()),
            ("end", command["exec"], code, status, cwd(), has, "" if shown is None else shown),
        )

    def commands():
        # Reading the pipe ends when the host, its only writer, is gone.
        pipe = os.open(folder + "/command", os.O_RDONLY)
        rest = b""
        while True:
            line, newline, after = rest.partition(b"\n")
            if newline:
                rest = after
                yield json.loads(line)
                continue
            more = os.read(pipe, 65536)
            if not more:
                leave(129)
            rest += more

    signal.signal(signal.SIGINT, idle_interrupt)
    sys.stdout = sys.stderr = None
    standard_streams()
    frames(("ready", pid, "start"))
    for command in commands():
        serve(command)


__reprise()
