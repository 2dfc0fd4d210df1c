"""Links from the source back to the reference, where names of a module are documented under the package's.

viewcode takes all names of a module to be documented under the same prefix; `grid_cosim.Results` and
`grid_cosim.results.store.Run` are not.
"""

from __future__ import annotations

import re
from typing import Any

from sphinx.application import Sphinx

_BACK = re.compile(r'(<a class="viewcode-back" href="[^"#]*#)([^"]+)"')


def _mend(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    if not page.startswith("_modules/grid_cosim/"):
        return
    module = page.removeprefix("_modules/").replace("/", ".")
    documented = app.env.domains.python_domain.objects

    def known(link: re.Match[str]) -> str:
        name = link[2]
        if name not in documented:
            ends = [f"{module}.{name.split('.', n)[-1]}" for n in range(1, name.count(".") + 1)]
            name = next((end for end in ends if end in documented), name)
        return f'{link[1]}{name}"'

    context["body"] = _BACK.sub(known, context["body"])


def setup(app: Sphinx) -> dict[str, bool]:
    """Mend the pages of the source before they are written."""
    app.connect("html-page-context", _mend)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
