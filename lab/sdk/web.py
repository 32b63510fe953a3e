"""A web server that answers each request with its argument: web.py ANSWER"""

import http.server
import sys


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(sys.argv[1].encode())

    def log_message(self, *_):
        pass


http.server.HTTPServer(("", 80), Handler).serve_forever()
