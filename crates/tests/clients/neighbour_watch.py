# Uses the services of neighbour_service.py on every host, all the time, each shell over one connection that is never renewed.
#
# Started by tests/neighbours.rs on the lab's network; ends when its standard input does, with one line of JSON: for each host
# the shell's process ids (one, if the session lived on), how often it was used, its longest silence in seconds, and errors.

import json
import os
import socket
import sys
import threading
import time
import urllib.request

PAUSE = 0.1
PATIENCE = 20

over = threading.Event()
found = {}


def watch(address):
    seen = found[address] = {"shells": [], "used": 0, "longest_s": 0.0, "errors": []}
    session = socket.create_connection((address, 2222), timeout=PATIENCE)
    answers = session.makefile("r")
    while not over.is_set():
        since = time.monotonic()
        try:
            session.sendall(b"echo $$\n")
            pid = answers.readline().strip()
            if not pid:
                raise ConnectionError("the session ended")
            if pid not in seen["shells"]:
                seen["shells"].append(pid)
            with urllib.request.urlopen(f"http://{address}:8080/", timeout=PATIENCE) as page:
                if page.read() != b"here\n":
                    raise ValueError("another page")
        except Exception as error:
            seen["errors"].append(repr(error))
            if len(seen["errors"]) > 3:
                return
        seen["used"] += 1
        seen["longest_s"] = max(seen["longest_s"], time.monotonic() - since)
        over.wait(PAUSE)


threads = [threading.Thread(target=watch, args=(a,)) for a in os.environ["HOLDFAST_HOSTS"].split(",")]
for thread in threads:
    thread.start()
print("watching", flush=True)
sys.stdin.read()
over.set()
for thread in threads:
    thread.join()
print(json.dumps(found), flush=True)
