"""Parts of every HTML page: the template with its style and scripts, and tables."""

from __future__ import annotations

import base64
import gzip
import importlib.util
import json
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

WEB = Path(__file__).parent / "web"
FIRST_CELL = re.compile(r"<td>(.*?)</td>", re.DOTALL)


def render_template(path: Path, scripts: Sequence[Path], data: Any, **values: Any) -> str:
    """The page of the jinja2 template `path`, which extends web/page.html.

    Args:
        scripts: in the order in which they run; web/ink.js, web/page.js and web/tools.js stand around them.
        data: what the scripts read as DATA.
        values: of the template; strings are escaped unless they are Markup.
    """
    from jinja2 import Environment, FileSystemLoader
    from markupsafe import Markup

    files = [WEB / "ink.js", WEB / "page.js", *scripts, WEB / "tools.js"]
    page = Environment(
        loader=FileSystemLoader([path.parent, WEB]), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    return page.get_template(path.name).render(
        css=Markup((WEB / "report.css").read_text(encoding="utf-8")),
        js=Markup("".join(file.read_text(encoding="utf-8") for file in files)),
        data=Markup(json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")),
        plotly=Markup(packed_plotly()),
        **values,
    )


@cache
def packed_plotly() -> str:
    """Plotly's JavaScript, gzip in base64. Located without importing plotly, which is slow.

    Level 4 takes half the time of level 6 and makes the page 4 % larger.
    """
    spec = importlib.util.find_spec("plotly")
    assert spec is not None, "plotly is a dependency of corea"
    script = Path(str(spec.origin)).parent / "package_data" / "plotly.min.js"
    return base64.b64encode(gzip.compress(script.read_bytes(), 4, mtime=0)).decode()


def html_table(head: Sequence[str], rows: Sequence[str]) -> str:
    """A table that scrolls sideways where it is too wide.

    Args:
        head: HTML of the column titles.
        rows: `<tr>` elements of `<td>` cells; the first cell of each becomes the row's header.
    """
    titles = "".join(f'<th scope="col">{title}</th>' for title in head)
    body = "".join(FIRST_CELL.sub(r'<th scope="row">\1</th>', row, count=1) for row in rows)
    return f'<div class="scroll"><table><thead><tr>{titles}</tr></thead><tbody>{body}</tbody></table></div>'
