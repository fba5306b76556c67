"""A server of one file, for tests of downloads."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Server:
    """Serves `content` on the loopback at any path; `promised` bytes in the header.

    `paths`: that were asked for.
    """

    def __init__(self, content: bytes):
        self.content, self.promised, self.paths = content, None, []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                server.paths.append(self.path)
                self.send_response(200)
                self.send_header("Content-Length", str(server.promised or len(server.content)))
                self.end_headers()
                self.wfile.write(server.content)

            def log_message(self, *_):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        self.thread = threading.Thread(target=self.http.serve_forever, args=(0.05,))
        self.thread.start()

    @property
    def requests(self) -> int:
        """How often it was asked."""
        return len(self.paths)

    def close(self):
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()
