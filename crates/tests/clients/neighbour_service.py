# What else may live on a host: a web server on port 8080 and a login shell per connection on port 2222.
#
# Started by tests/neighbours.rs inside each host of a lab; says "ready" when both listen.

import http.server
import socketserver
import subprocess
import threading


class Shell(socketserver.BaseRequestHandler):
    def handle(self):
        subprocess.run(["sh"], stdin=self.request, stdout=self.request, stderr=self.request, check=False)


class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"here\n")

    def log_message(self, *_):
        pass


socketserver.ThreadingTCPServer.allow_reuse_address = True
shells = socketserver.ThreadingTCPServer(("0.0.0.0", 2222), Shell)
pages = http.server.ThreadingHTTPServer(("0.0.0.0", 8080), Page)
threading.Thread(target=shells.serve_forever, daemon=True).start()
print("ready", flush=True)
pages.serve_forever()
