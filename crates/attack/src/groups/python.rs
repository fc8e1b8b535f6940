//! The import policy, and ways around it. A refused name raises `ImportError: Blocked import`; whoever gets around the
//! name meets the kernel: no exec (EPERM) and no INET socket (EAFNOSUPPORT). The control is the same program without
//! a policy, which executes `/bin/echo reached` or makes the socket.

use crate::attempt::{Attempt, Proof, Proof::*, Setup, python};

const POLICY: Setup =
    Setup { workspace: true, blocked_imports: Some(&["subprocess", "socket", "os.system"]), ..Setup::PLAIN };
const ALLOWED: Setup =
    Setup { workspace: true, allowed_imports: Some(&["errno", "os", "sys", "json", "ctypes"]), ..Setup::PLAIN };
const FREE: &[Proof] = &[With(Setup::WORKSPACE)];

const BY_NAME: &[&str] = &["refused by name"];
const NO_EXEC: &[&str] = &["refused EPERM"];
const NOT_RUN: &[&str] = &["refused without a trace"];
const NO_INET: &[&str] = &["refused EAFNOSUPPORT"];

/// A way to do something, as the lines of a function `act`.
macro_rules! way {
    ($id:literal, $what:literal, $act:literal, $refused:expr) => {
        python(concat!("python/", $id), $what, concat!(
            "ECHO = ['/bin/echo', 'reached']\ndef act():\n ", $act, "\n",
            "try: done = act()\n",
            "except ImportError as error: refused('by name') if 'Blocked import' in str(error) else refused(repr(error))\n",
            "except OSError as error: refused(named(error.errno))\n",
            "say('reached' if done == 'made' else 'refused without a trace')"
        ), $refused, FREE).within(POLICY)
    };
}

#[rustfmt::skip]
pub(super) const PYTHON: &[Attempt] = &[
    // The name, in every spelling.
    way!("import", "a blocked module", "import subprocess; return 'made'", BY_NAME),
    way!("import-as", "a blocked module by another name", "import subprocess as harmless; return 'made'", BY_NAME),
    way!("from-import", "a part of a blocked module", "from subprocess import run; return 'made'", BY_NAME),
    way!("from-import-star", "all of a blocked module", "exec('from subprocess import *', {}); return 'made'", BY_NAME),
    way!("import-among-others", "a blocked module among others", "import json, subprocess; return 'made'", BY_NAME),
    way!("dunder-import", "a blocked module by the function", "__import__('subprocess'); return 'made'", BY_NAME),
    way!("dunder-import-composed", "a blocked module by a composed name", "__import__('sub' + 'process'); return 'made'", BY_NAME),
    way!("importlib", "a blocked module by importlib", "import importlib; importlib.import_module('subprocess'); return 'made'", BY_NAME),
    way!("importlib-dunder", "a blocked module by importlib's own function", "import importlib; importlib.__import__('subprocess'); return 'made'", BY_NAME),
    way!("exec-string", "a blocked module in a string", "exec('import subprocess'); return 'made'", BY_NAME),
    way!("eval-string", "a blocked module in an expression", "eval('__import__(\"subprocess\")'); return 'made'", BY_NAME),
    way!("exec-empty-globals", "a blocked module in a namespace without a name", "exec('import subprocess', {}); return 'made'", BY_NAME),
    way!("compile", "a blocked module in compiled code", "exec(compile('import subprocess', '<elsewhere>', 'exec')); return 'made'", BY_NAME),
    way!("function-type", "a blocked module in a function that was put together", "import types; c = compile('import subprocess', 'x', 'exec'); types.FunctionType(c, {'__builtins__': __builtins__})(); return 'made'", BY_NAME),
    way!("lambda", "a blocked module in a lambda", "(lambda: __import__('subprocess'))(); return 'made'", BY_NAME),
    way!("class-body", "a blocked module in a class", "exec('class C:\\n import subprocess'); return 'made'", BY_NAME),
    way!("thread", "a blocked module in a thread", "import threading; e = []\n def work():\n  try: import subprocess\n  except ImportError as error: e.append(error)\n t = threading.Thread(target=work); t.start(); t.join()\n if e: raise e[0]\n return 'made'", BY_NAME),
    way!("generator", "a blocked module in a generator", "next(__import__(n) for n in ['subprocess']); return 'made'", BY_NAME),
    way!("decorator", "a blocked module by map", "list(map(__import__, ['subprocess'])); return 'made'", BY_NAME),
    way!("workspace-module", "a blocked module by a module of the workspace", "open('mine.py', 'w').write('import subprocess'); sys.path.insert(0, os.getcwd()); import mine; return 'made'", BY_NAME),
    way!("workspace-package", "a blocked module by a package of the workspace", "os.makedirs('kit', exist_ok=True); open('kit/__init__.py', 'w').write('from subprocess import run'); sys.path.insert(0, os.getcwd()); import kit; return 'made'", BY_NAME),
    way!("zip-module", "a blocked module by an archive", "import zipfile; z = zipfile.ZipFile('m.zip', 'w'); z.writestr('inzip.py', 'import subprocess'); z.close(); sys.path.insert(0, os.getcwd() + '/m.zip'); import inzip; return 'made'", BY_NAME),
    way!("runpy", "a blocked module by a script", "import runpy; open('s.py', 'w').write('import subprocess'); runpy.run_path('s.py'); return 'made'", BY_NAME),
    way!("forged-file-name", "a blocked module in code that calls itself another", "exec(compile('import subprocess', 'mine.py', 'exec'), {'__name__': 'json', '__file__': 'mine.py'}); return 'made'", BY_NAME),
    way!("import-socket", "a blocked module", "import socket; return 'made'", BY_NAME),
    way!("from-socket", "a part of a blocked module", "from socket import create_connection; return 'made'", BY_NAME),
    way!("os-system-by-name", "a blocked function", "from os import system; return 'made'", BY_NAME),
    way!("os-system", "a blocked function, called", "os.system('echo reached')", BY_NAME),
    way!("posix-system", "a blocked function by the module below", "import posix; posix.system('echo reached')", BY_NAME),
    // What the name stands for: exec.
    way!("os-execv", "a program", "os.execv(ECHO[0], ECHO)", NO_EXEC),
    way!("os-execve", "a program", "os.execve(ECHO[0], ECHO, {})", NO_EXEC),
    way!("os-execlp", "a program", "os.execlp(ECHO[0], *ECHO)", NO_EXEC),
    way!("posix-execv", "a program by the module below", "import posix; posix.execv(ECHO[0], ECHO)", NO_EXEC),
    way!("posix-spawn", "a program by posix_spawn", "os.waitpid(os.posix_spawn(ECHO[0], ECHO, {}), 0)", NO_EXEC),
    way!("posix-spawnp", "a program by posix_spawnp", "os.waitpid(os.posix_spawnp(ECHO[0], ECHO, {}), 0)", NO_EXEC),
    way!("os-spawnv", "a program by os.spawnv", "os.spawnv(os.P_WAIT, ECHO[0], ECHO)", NOT_RUN),
    way!("os-popen", "a shell by os.popen", "os.write(1, os.popen('echo reached').read().encode())", NO_EXEC),
    way!("ctypes-system", "a shell by the C library", "libc().system(b'echo reached')", NOT_RUN),
    way!("ctypes-popen", "a shell by the C library", "import ctypes; l = libc(); l.popen.restype = ctypes.c_void_p; l.pclose.argtypes = [ctypes.c_void_p]; p = l.popen(b'echo reached', b'w'); p and l.pclose(p)", NOT_RUN),
    way!("ctypes-execv", "a program by the C library", "import ctypes; a = (ctypes.c_char_p * 3)(b'echo', b'reached', None); libc().execv(b'/bin/echo', a); raise OSError(ctypes.get_errno(), '')", NO_EXEC),
    way!("raw-execve", "a program by the system call", "import ctypes; a = (ctypes.c_char_p * 3)(b'echo', b'reached', None); n = 59 if os.uname().machine == 'x86_64' else 221; d, e = syscall(n, buffer(b'/bin/echo'), ctypes.addressof(a), 0); raise OSError(e, '')", NO_EXEC),
    way!("raw-execveat", "a program by the other system call", "import ctypes; a = (ctypes.c_char_p * 3)(b'echo', b'reached', None); n = 322 if os.uname().machine == 'x86_64' else 281; d, e = syscall(n, -100, buffer(b'/bin/echo'), ctypes.addressof(a), 0, 0); raise OSError(e, '')", NO_EXEC),
    way!("vfork-execve", "a program in a child of a child", "p = os.fork()\n if p == 0:\n  try: os.execv(ECHO[0], ECHO)\n  finally: os._exit(1)\n os.waitpid(p, 0)", NOT_RUN),
    way!("memfd-exec", "a program from memory", "f = os.memfd_create('x'); os.write(f, open('/bin/echo', 'rb').read()); os.execv('/proc/self/fd/%d' % f, ECHO)", NO_EXEC),
    way!("workspace-exec", "a program from the workspace", "import shutil; shutil.copy('/bin/echo', 'mine'); os.chmod('mine', 0o755); os.execv('./mine', ECHO)", NO_EXEC),
    way!("loader", "a program by the dynamic loader", "import glob; os.execv(glob.glob('/lib*/ld-linux*')[0], ['ld'] + ECHO)", NO_EXEC),
    way!("posixsubprocess", "a program by what subprocess is made of", "import asyncio.base_events; s = sys.modules['subprocess']; s.run(ECHO)", NO_EXEC),
    way!("sys-modules", "a module that the library has imported", "import asyncio.base_events; sys.modules['subprocess'].Popen(ECHO).wait()", NO_EXEC),
    way!("sys-modules-removed", "a module, imported afresh", "import asyncio.base_events, importlib.util; sys.modules.pop('subprocess', None); s = importlib.util.find_spec('subprocess'); m = importlib.util.module_from_spec(s); s.loader.exec_module(m); m.run(ECHO)", NO_EXEC),
    way!("builtins-restored", "the import function, taken from the frozen importer", "import builtins, importlib._bootstrap as b; builtins.__import__ = b.__import__; import subprocess; subprocess.run(ECHO)", NO_EXEC),
    way!("loader-of-a-module", "a module by another one's loader", "import json; l = type(json.__loader__)('subprocess', os.path.dirname(os.__file__) + '/subprocess.py'); import types; m = types.ModuleType('subprocess'); l.exec_module(m); m.run(ECHO)", NO_EXEC),
    way!("source-executed", "a module by its source", "n = {'__name__': 'copy'}; exec(open(os.path.dirname(os.__file__) + '/subprocess.py').read(), n); n['run'](ECHO)", NO_EXEC),
    way!("frames", "a module by the frames above", "import asyncio.base_events; f = sys._getframe(); m = f.f_globals['sys'].modules['subprocess']; m.call(ECHO)", NO_EXEC),
    way!("garbage", "a class by the garbage collector", "import gc, asyncio.base_events; p = [o for o in gc.get_objects() if isinstance(o, type) and o.__name__ == 'Popen'][0]; p(ECHO).wait()", NO_EXEC),
    way!("subclasses", "a class by its base", "import asyncio.base_events; p = [c for c in object.__subclasses__() if c.__name__ == 'Popen'][0]; p(ECHO).wait()", NO_EXEC),
    way!("traceback", "a namespace by a traceback", "import asyncio.base_events\n try: 1 / 0\n except ZeroDivisionError as error: g = error.__traceback__.tb_frame.f_globals\n g['sys'].modules['subprocess'].run(ECHO)", NO_EXEC),
    way!("closure", "the policy's own closure, opened", "import builtins; g = builtins.__import__\n for c in getattr(g, '__closure__', None) or ():\n  if callable(c.cell_contents) and getattr(c.cell_contents, '__name__', '') == '__import__': g = c.cell_contents\n g('subprocess').run(ECHO)", NO_EXEC),
    way!("pty", "a program on a terminal", "import pty; p, f = pty.fork()\n if p == 0:\n  try: os.execv(*(ECHO[0], ECHO))\n  except OSError: os._exit(1)\n out = b''\n try:\n  while not out.endswith(b'\\n'): out += os.read(f, 99)\n except OSError: pass\n os.write(1, out)", NOT_RUN),
    way!("multiprocessing-spawn", "a program by multiprocessing", "import multiprocessing.util as u; u.spawnv_passfds(ECHO[0].encode(), [x.encode() for x in ECHO], [1]); import time; time.sleep(.5)", &["refused without a trace", "refused EPERM"]),
    way!("pickle", "a call by a pickle", "import pickle\n class P:\n  def __reduce__(self): return (eval, ('__import__(\"os\").execv(\"/bin/echo\", [\"echo\", \"reached\"])',))\n pickle.loads(pickle.dumps(P()))", NO_EXEC),
    way!("marshal", "a call by marshalled code", "import marshal; exec(marshal.loads(marshal.dumps(compile('import os; os.execv(\"/bin/echo\", [\"echo\", \"reached\"])', 'x', 'exec'))))", NO_EXEC),
    way!("finalizer", "a call when an object dies", "import asyncio.base_events; r = []\n class D:\n  def __del__(self):\n   try: sys.modules['subprocess'].run(ECHO)\n   except OSError as error: r.append(error)\n D()\n if r: raise r[0]", NO_EXEC),
    way!("signal-handler", "a call in a signal handler", "import signal; r = []\n def handler(*_):\n  try: os.execv(ECHO[0], ECHO)\n  except OSError as error: r.append(error)\n signal.signal(signal.SIGUSR1, handler); os.kill(os.getpid(), signal.SIGUSR1)\n if r: raise r[0]", NO_EXEC),
    way!("trace", "a call by a trace function", "r = []\n def trace(*_):\n  sys.settrace(None)\n  try: os.execv(ECHO[0], ECHO)\n  except OSError as error: r.append(error)\n sys.settrace(trace); (lambda: 0)(); sys.settrace(None)\n if r: raise r[0]", NO_EXEC),
    way!("audit-hook", "a call by an audit hook", "r = []; once = []\n def hook(*_):\n  if once: return\n  once.append(1)\n  try: os.execv(ECHO[0], ECHO)\n  except OSError as error: r.append(error)\n sys.addaudithook(hook); open('/dev/null').close()\n if r: raise r[0]", NO_EXEC),
    way!("own-memory", "the policy, overwritten by /proc/self/mem", "import ctypes; word = ctypes.create_string_buffer(b'blocked'); m = open('/proc/self/mem', 'r+b', 0); m.seek(ctypes.addressof(word)); m.write(b'allowed'); assert word.value == b'allowed'; os.execv(ECHO[0], ECHO)", NO_EXEC),
    way!("shared-object", "code of its own by ctypes", "import ctypes, ctypes.util; ctypes.CDLL('libc.so.6', use_errno=True).system(b'echo reached')", NOT_RUN),
    way!("preload", "a library in every later program", "os.environ['LD_PRELOAD'] = '/nonexistent.so'; os.execv(ECHO[0], ECHO)", NO_EXEC),
    // What the name stands for: INET sockets.
    way!("socket-by-the-library", "a socket by a module that the library has imported", "import asyncio.base_events; sys.modules['socket'].socket(); return 'made'", NO_INET),
    way!("socket-by-ctypes", "a socket by the C library", "import ctypes; n = libc().socket(2, 1, 0)\n if n < 0: raise OSError(ctypes.get_errno(), '')\n return 'made'", NO_INET),
    way!("socket-by-number", "a socket by the system call", "n, e = syscall(41 if os.uname().machine == 'x86_64' else 198, 2, 1, 0)\n if n < 0: raise OSError(e, '')\n return 'made'", NO_INET),
    way!("socket-six", "an IPv6 socket", "import ctypes; n = libc().socket(10, 2, 0)\n if n < 0: raise OSError(ctypes.get_errno(), '')\n return 'made'", NO_INET),
    way!("socket-netlink", "the interfaces", "import ctypes; n = libc().socket(16, 3, 0)\n if n < 0: raise OSError(ctypes.get_errno(), '')\n return 'made'", NO_INET),
    way!("asyncio-connection", "a connection by asyncio", "import asyncio, asyncio.base_events; s = sys.modules['socket'].socket(2, 1); s.close(); return 'made'", NO_INET),
    // A list of what is allowed.
    way!("not-allowed", "a module that is not listed", "import subprocess; return 'made'", BY_NAME).within(ALLOWED),
    way!("not-allowed-importlib", "a module that is not listed, by importlib", "__import__('importlib').import_module('subprocess'); return 'made'", BY_NAME).within(ALLOWED),
    way!("not-allowed-exec", "a program, where nothing that starts one is listed", "os.execv(ECHO[0], ECHO)", NO_EXEC).within(ALLOWED),
    way!("not-allowed-socket", "a socket, where nothing that makes one is listed", "import ctypes; n = libc().socket(2, 1, 0)\n if n < 0: raise OSError(ctypes.get_errno(), '')\n return 'made'", NO_INET).within(ALLOWED),
];
