"""Notebooks: executed with parameters, rendered as pages that open without a network."""

from __future__ import annotations

import html
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nonideal.files import atomic, write_text

# nbconvert's page loads MathJax, require.js, widgets and mermaid from the network; the figures need none.
OFFLINE_TEMPLATE = """\
{%- extends 'lab/index.html.j2' -%}
{%- block html_head_js -%}{%- endblock html_head_js -%}
{%- block html_head_js_mathjax -%}{%- endblock html_head_js_mathjax -%}
{%- block html_head_js_mermaidjs -%}{%- endblock html_head_js_mermaidjs -%}
"""
NO_DESCRIPTION = "No description has been provided for this image"  # nbconvert's, for those who do not see it


def execute(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    parameters: Mapping[str, Any],
    failed: str | os.PathLike[str],
) -> None:
    """Execute a notebook with papermill; `target` exists afterwards only if every cell ran.

    Parameters
    ----------
    source
        Notebook with a cell tagged ``parameters``.
    target
        The executed notebook.
    parameters
        Values for the parameters' cell. Paths in them are relative to the current folder, in which the
        notebook runs: an executed notebook then names no folder of the machine it ran on.
    failed
        Where the notebook is kept, up to and including the cell that failed, when one does.

    Raises
    ------
    papermill.PapermillExecutionError
        If a cell raises; the message holds its traceback.
    """
    import nbformat
    import papermill
    from jupyter_client.manager import AsyncKernelManager

    # Local sockets: no free port to race for with the kernels of other jobs, and nobody listens in. Their
    # path is limited to about a hundred characters, so they get a short folder of their own.
    with atomic(target) as temporary, tempfile.TemporaryDirectory(prefix="nb-", dir="/tmp") as sockets:

        class LocalKernelManager(AsyncKernelManager):
            def __init__(self, **options: Any) -> None:
                super().__init__(transport="ipc", connection_file=f"{sockets}/kernel.json", **options)

        try:
            papermill.execute_notebook(
                str(source),
                str(temporary),
                parameters=dict(parameters),
                kernel_name="python3",
                kernel_manager_class=LocalKernelManager,
                cwd=str(Path.cwd()),
                log_output=True,
            )
        except papermill.PapermillExecutionError:
            Path(failed).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(temporary, failed)
            raise
        executed = nbformat.read(temporary, as_version=4)
        executed.metadata.papermill.output_path = str(target)
        nbformat.write(executed, temporary)


def to_html(notebook: str | os.PathLike[str], target: str | os.PathLike[str]) -> None:
    """Render an executed notebook as one self-contained page; its pictures are described by its heading."""
    import nbformat
    from nbconvert import HTMLExporter

    executed = nbformat.read(notebook, as_version=4)
    words = (
        cell.source.partition("\n")[0].lstrip("# ") for cell in executed.cells if cell.cell_type == "markdown"
    )
    heading = html.escape(next(words, "figure"))
    exporter = HTMLExporter(raw_template=OFFLINE_TEMPLATE, embed_images=True)
    exporter.exclude_input_prompt = exporter.exclude_output_prompt = True
    body, _ = exporter.from_notebook_node(executed)
    write_text(target, body.replace(f'alt="{NO_DESCRIPTION}"', f'alt="{heading}"'))
