"""An internet of one machine, in a network and mount namespace of its own: public addresses on its loopback, a resolver
whose answers change, servers of HTTP and HTTPS. Runs the given commands in it and prints what came of them, as JSON.
"""

import fcntl, json, os, socket, ssl, struct, subprocess, sys, tempfile, threading, time

asked = json.loads(sys.argv[1])
seen, queries = [], []


def interface(name, request, tail):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, request, struct.pack("16s16s", name.encode(), tail))


SIOCSIFFLAGS, SIOCSIFADDR, UP = 0x8914, 0x8916, 1 | 64
interface("lo", SIOCSIFFLAGS, struct.pack("h", UP))
for number, address in enumerate(asked["addresses"]):
    interface(f"lo:{number}", SIOCSIFADDR, struct.pack("HH4s8x", socket.AF_INET, 0, socket.inet_aton(address)))


def six(address):
    """Gives the loopback an IPv6 address; whether that can be had."""
    packed = socket.inet_pton(socket.AF_INET6, address)
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as control:
            fcntl.ioctl(control, SIOCSIFADDR, struct.pack("=16sIi", packed, 128, socket.if_nametoindex("lo")))
    except OSError:
        return False
    # Listed, it may still take a moment to be an address that can be bound.
    end = time.monotonic() + 10
    while time.monotonic() < end:
        try:
            with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as trial:
                trial.bind((address, 0))
            return True
        except OSError:
            time.sleep(0.01)
    return False


has_six = six(asked["six"])


def resolve(query):
    """The answer to a query of one question; each query for an IPv4 address takes the next answer of its name, and the one
    for IPv6 that goes with it the same.
    """
    labels, at = [], 12
    while query[at]:
        labels.append(query[at + 1 : at + 1 + query[at]].decode().lower())
        at += 1 + query[at]
    name, kind = ".".join(labels), struct.unpack("!H", query[at + 1 : at + 3])[0]
    answers = []
    if kind in (1, 28) and name in asked["names"]:
        turns = asked["names"][name]
        turn = queries.count(name) if kind == 1 else max(queries.count(name) - 1, 0)
        answers = [address for address in turns[min(turn, len(turns) - 1)] if (":" in address) == (kind == 28)]
        if kind == 1:
            queries.append(name)
    family = socket.AF_INET if kind == 1 else socket.AF_INET6
    packed = [socket.inet_pton(family, address) for address in answers]
    head = query[:2] + struct.pack("!HHHHH", 0x8180, 1, len(answers), 0, 0)
    records = [struct.pack("!HHHIH", 0xC00C, kind, 1, 0, len(address)) + address for address in packed]
    return head + query[12 : at + 5] + b"".join(records)


def names():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 53))
        listening.release()
        while True:
            query, sender = server.recvfrom(4096)
            server.sendto(resolve(query), sender)


def serve(address, port, tls):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = socket.create_server((address, port), family=family, backlog=64)
    listening.release()
    while True:
        stream, _ = listener.accept()
        threading.Thread(target=answer, args=(stream, address, port, tls), daemon=True).start()


def page(head, path):
    """The file of that host and path below the folder `files`. One that holds `{authorization}` gets that header there."""
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head.splitlines()[1:])}
    file = os.path.join(asked["files"], headers["host"].partition(":")[0], path.lstrip("/"))
    if os.path.isdir(file):
        file = os.path.join(file, "index.html")
    if not os.path.isfile(file):
        return "404 Not Found", "text/plain", b"not found\n"
    with open(file, "rb") as opened:
        body = opened.read().replace(b"{authorization}", headers.get("authorization", "nothing").encode())
    return "200 OK", "text/html" if file.endswith(".html") else "application/octet-stream", body


def answer(stream, address, port, tls):
    try:
        if tls:
            stream = context.wrap_socket(stream, server_side=True)
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            more = stream.recv(1)
            if not more:
                return
            head += more
        text = head.decode()
        seen.append({"at": f"{address}:{port}", "head": text})
        path = text.split(" ")[1].partition("?")[0]
        if path in asked["redirects"]:
            reply = f"HTTP/1.1 302 Found\r\nLocation: {asked['redirects'][path]}\r\nContent-Length: 0\r\n\r\n".encode()
        else:
            status, kind, body = page(text, path) if asked["files"] else ("200 OK", "text/plain", address.encode())
            reply = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
        stream.sendall(reply)
    except OSError:
        pass
    finally:
        stream.close()


listening = threading.Semaphore(0)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(asked["certificate"], asked["key"])
served = [*asked["addresses"], "127.0.0.1", *([asked["six"], "::1"] if has_six else [])]
works = [(names, ())]
works += [(serve, (address, port, tls)) for address in served for port, tls in ((80, False), (443, True))]
for work, args in works:
    threading.Thread(target=work, args=args, daemon=True).start()
for _ in works:
    if not listening.acquire(timeout=30):
        sys.exit("a server of the test's internet does not listen")

with tempfile.NamedTemporaryFile("w", suffix=".conf") as configuration:
    configuration.write("nameserver 127.0.0.1\noptions timeout:5 attempts:1\n")
    configuration.flush()
    os.chmod(configuration.name, 0o644)
    place = os.path.realpath("/etc/resolv.conf")
    subprocess.run(["mount", "--bind", configuration.name, place], check=True)
    runs = []
    for command in asked["commands"]:
        ran = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace")
        runs.append({"code": ran.returncode, "stdout": ran.stdout, "stderr": ran.stderr})
print(json.dumps({"runs": runs, "queries": queries, "seen": seen, "six": has_six}))
