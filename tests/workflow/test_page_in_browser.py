"""The page of a run in a real browser, offline."""

import html
import json
import re
import shutil
import subprocess

import pytest

pytestmark = pytest.mark.workflow

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
# Added to a copy of the page: what a visitor would see of it, written into the document for the test to read.
PROBE = """
<script>
addEventListener("error", event => { document.documentElement.dataset.error = event.message; });
addEventListener("load", () => {
  const images = [...document.images];
  const words = document.getElementById("words");
  const rows = [...document.querySelectorAll("#claims tbody tr")];
  const count = () => rows.filter(row => row.offsetParent).length;
  const all = count();
  words.value = "fig. 4a";
  words.dispatchEvent(new Event("input"));
  document.documentElement.dataset.probe = JSON.stringify({
    images: images.length,
    drawn: images.filter(image => image.complete && image.naturalWidth > 0).length,
    captions: [...document.querySelectorAll("figcaption")].filter(part => part.innerText.length > 80).length,
    overflow: document.documentElement.scrollWidth - innerWidth,
    cut: Math.max(...[...document.querySelectorAll(".box, .scroll")]
      .map(box => box.scrollWidth - box.clientWidth)),
    dead: [...document.querySelectorAll('a[href^="#"]')]
      .map(link => link.getAttribute("href").slice(1)).filter(id => !document.getElementById(id)),
    all: all, found: count(), typed: plain("−5"),
  });
});
</script>
"""


@pytest.mark.skipif(BROWSER is None, reason="no Chromium: apt-get install chromium")
@pytest.mark.parametrize("width", [1300, 768, 390])
def test_the_page_opens_offline(tiny, tmp_path, width):
    page = tiny.result("index.html").read_text()
    copy = tmp_path / "index.html"
    copy.write_text(page.replace("<head>", f"<head>{PROBE}", 1))
    done = subprocess.run(
        [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--dump-dom",
         f"--window-size={width},900", f"--user-data-dir={tmp_path / 'profile'}",
         "--host-resolver-rules=MAP * ~NOTFOUND", "--virtual-time-budget=10000", copy.as_uri()],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    assert ":CONSOLE" not in done.stderr, done.stderr[-2000:]
    assert "data-error" not in done.stdout
    seen = json.loads(html.unescape(re.search(r'data-probe="([^"]+)"', done.stdout)[1]))
    figures = len(list(tiny.result("figures").glob("*.svg")))
    assert seen["images"] == seen["drawn"] == seen["captions"] == figures > 20
    assert seen["overflow"] <= 0 and seen["cut"] <= 0 and seen["dead"] == []
    assert 0 < seen["found"] < seen["all"]
    assert seen["typed"] == "-5"  # as a keyboard has it; claims have a minus sign
