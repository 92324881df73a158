"""The page's own files, as they were built; or what to do when they were not."""

import html
from pathlib import Path
from typing import Any

from starlette.responses import HTMLResponse
from starlette.staticfiles import StaticFiles

BUILT = Path(__file__).with_name("static")
HOW = "npm --prefix src/openjepa/explore/ui ci --ignore-scripts\nnpm --prefix src/openjepa/explore/ui run build"
MISSING = f"""<!doctype html><html lang=en><meta charset=utf-8><title>openjepa explore: not built</title>
<meta name=viewport content="width=device-width">
<style>body{{font:16px/1.6 system-ui,sans-serif;max-width:42em;margin:3em auto;padding:0 1em}}pre{{padding:1em;background:#eee;color:#111;overflow:auto}}</style>
<h1>The page is not built</h1>
<p>This openjepa runs from its sources, and the page's own sources have not been compiled. A wheel from a package index has it inside.
In the checkout, with Node 20 or newer:</p><pre>{html.escape(HOW)}</pre><p>Then load this page again; the server can stay up.</p></html>"""


class Pages:
    """Static files from `folder`; 503 with the commands that make them while there are none."""

    def __init__(self, folder: Path = BUILT) -> None:
        self.folder = folder

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if (self.folder / "index.html").is_file():
            app: Any = StaticFiles(directory=self.folder, html=True)
        else:
            app = HTMLResponse(MISSING, 503)
        await app(scope, receive, send)
