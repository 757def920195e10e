import nbformat
import papermill
import pytest

from nonideal import notebooks

DRAWN = "import matplotlib.pyplot as plt; plt.plot([1, 2]);"


@pytest.fixture
def notebook(tmp_path):
    def make(*sources):
        parameters = nbformat.v4.new_code_cell("x = 1", metadata={"tags": ["parameters"]})
        heading = nbformat.v4.new_markdown_cell("# Error <b>\n\nMore of it.")
        cells = [heading, parameters, *map(nbformat.v4.new_code_cell, sources)]
        path = tmp_path / "source.ipynb"
        metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
        nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=metadata), path)
        return path

    return make


@pytest.mark.filterwarnings("ignore")  # papermill's and the kernel's own
def test_executes_with_parameters_and_renders_offline(tmp_path, notebook):
    target = tmp_path / "out/done.ipynb"
    source = notebook("print(x + 1)", "import ipykernel; print(ipykernel.get_connection_info())", DRAWN)
    notebooks.execute(source, target, parameters={"x": 41}, failed=tmp_path / "failed.ipynb")
    assert "42" in target.read_text()
    assert r"\"transport\": \"ipc\"" in target.read_text()  # no port that another job could take
    assert ".done.ipynb" not in target.read_text()  # the temporary name
    notebooks.to_html(target, tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert "42" in page and "cdnjs" not in page and "unpkg" not in page
    assert 'alt="Error &lt;b&gt;"' in page and notebooks.NO_DESCRIPTION not in page
    assert not (tmp_path / "failed.ipynb").exists()


@pytest.mark.filterwarnings("ignore")
def test_failure_leaves_no_notebook_but_the_failed_one_for_inspection(tmp_path, notebook):
    target = tmp_path / "done.ipynb"
    with pytest.raises(papermill.PapermillExecutionError, match="on purpose"):
        notebooks.execute(
            notebook("raise ValueError('on purpose')"),
            target,
            parameters={},
            failed=tmp_path / "logs/failed.ipynb",
        )
    assert not target.exists()
    assert "on purpose" in (tmp_path / "logs/failed.ipynb").read_text()
