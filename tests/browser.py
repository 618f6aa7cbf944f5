"A real JupyterLab in a real browser, for the tests that need them; screenshots go to artifacts/."

import csv
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.request import urlopen

import nbformat
import pytest
from PIL import Image

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
from selenium.common.exceptions import StaleElementReferenceException  # noqa: E402
from selenium.webdriver.common.action_chains import ActionChains  # noqa: E402
from selenium.webdriver.common.actions.action_builder import ActionBuilder  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.support.ui import Select, WebDriverWait  # noqa: E402

ROOT = Path(__file__).parents[1]
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
needs_browser = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="no browser: apt-get install chromium chromium-driver brings one"
)
TOKEN = "for-this-test-only"
PATIENCE = 90  # seconds, for a kernel that imports torch on a busy machine
FLAGS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]
FLAGS += ["--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage"]


def make_run(root):
    "A short run on the demo folder and labels of some images, all under `root`."
    from swsss.method.model import load_checkpoint
    from swsss.method.recipe import Recipe
    from swsss.photos.folder import open_folder, read_split
    from swsss.runs.label_folder import write_pseudo_labels
    from swsss.runs.training import train

    folder, run = open_folder("demo"), root / "runs" / "short"
    strong = read_split(folder, 20)
    recipe = Recipe.demo(iterations=60, log_every=5, snapshot_every=20, save_every=60, snapshots=4, workers=0)
    train(recipe, folder.with_labels(None, keep=strong), strong, run, "cpu")
    hybrid, pseudo = (load_checkpoint(run / f"{network}.safetensors") for network in ["hybrid", "pseudo"])
    class_iou = [hybrid.about["class_iou"][c] for c in range(folder.num_classes)]
    names = folder.listed("trainaug")[:60]
    settings = {"other": pseudo, "class_iou": class_iou, "strong": strong, "scales": (1.0,), "progress": False}
    write_pseudo_labels(run / "labels", folder, names, hybrid, {"run": "short"}, **settings)


def looking_command():
    "What the README tells to copy, and which notebook to open then."
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    return re.search(r"^ {4}(cp nbs/explore_.*)\n {4}jupyter lab .*(runs/explore_pseudo.*)$", text, re.M).groups()


def copy_run(run, root):
    "A copy of the run, so that the verdicts given here are no one's."
    leave_out = shutil.ignore_patterns("resume", "judgements.csv", "events*")
    shutil.copytree(run, root / "runs" / run.name, ignore=leave_out)
    (root / "runs" / run.name / "metrics.csv").touch()  # the newest run is what opens


def draw_run(root):
    "A made-up run with 240 labels, to be chosen in the explorer."
    from swsss.explorer.results import draw_results
    from swsss.photos.folder import open_folder

    folder = open_folder(os.environ.get("SWSSS_DATA", "demo"))
    masked = [name for name in folder.names if folder.has_mask(name)]
    draw_results(root / "runs" / "made-up", folder, masked[:240])


@pytest.fixture(scope="session")
def project(tmp_path_factory):
    "A folder with the explore notebooks, data, a made-up run and a newer one that was trained."
    root, here = tmp_path_factory.mktemp("project"), Path.cwd()
    for folder in ["nbs", "runs", "data"]:
        (root / folder).mkdir()
    for name in ["settings.ini", ".gitignore", "runs/.gitignore", "data/.gitignore"]:
        shutil.copy(ROOT / name, root / name)
    for path in ROOT.glob("nbs/explore_*.ipynb"):
        notebook = nbformat.read(path, 4)
        for cell in notebook.cells:
            if cell.cell_type == "code":
                cell.outputs = []
        nbformat.write(notebook, root / "nbs" / path.name)
    git = ["git", "-c", "user.name=a test", "-c", "user.email=a@test"]
    for words in [["init", "-q"], ["add", "-A"], ["commit", "-qm", "as it came"]]:
        subprocess.run([*git, *words], cwd=root, check=True)
    copy, _ = looking_command()
    subprocess.run(copy, shell=True, cwd=root, check=True)
    os.chdir(root)
    try:
        draw_run(root)
        run = os.environ.get("SWSSS_RUN")
        copy_run(ROOT / run, root) if run else make_run(root)
    finally:
        os.chdir(here)
    return root


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@pytest.fixture(scope="session")
def lab(project, tmp_path_factory):
    "JupyterLab on loopback with settings of its own; the address of its /lab."
    home, port = tmp_path_factory.mktemp("jupyter"), free_port()
    quiet = home / "settings" / "@jupyterlab" / "apputils-extension" / "notification.jupyterlab-settings"
    quiet.parent.mkdir(parents=True)
    quiet.write_text('{"fetchNews": "false", "checkForUpdates": false, "doNotDisturbMode": true}')
    places = {"SETTINGS": home / "settings", "WORKSPACES": home / "workspaces"}
    env = os.environ | {f"JUPYTERLAB_{key}_DIR": str(path) for key, path in places.items()}
    env |= {"JUPYTER_CONFIG_DIR": str(home / "config"), "JUPYTER_RUNTIME_DIR": str(home / "runtime")}
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--ip=127.0.0.1", f"--port={port}"]
    command += ["--allow-root", f"--IdentityProvider.token={TOKEN}", f"--ServerApp.root_dir={project}"]
    command += ["--LabApp.expose_app_in_browser=True"]  # so that a test can listen to the kernel's messages
    with open(home / "log.txt", "w", encoding="utf-8") as log:
        server = subprocess.Popen(command, env=env, stdout=log, stderr=subprocess.STDOUT, cwd=project)
    try:
        wait_for_server(f"http://127.0.0.1:{port}/api/status?token={TOKEN}", server, home / "log.txt")
        yield f"http://127.0.0.1:{port}/lab"
    finally:
        server.terminate()
        server.wait(30)


def wait_for_server(address, server, log):
    for _ in range(PATIENCE * 2):
        assert server.poll() is None, log.read_text()[-2000:]
        try:
            return urlopen(address, timeout=2).read()
        except OSError:
            time.sleep(0.5)
    raise TimeoutError(log.read_text()[-2000:])


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in [*FLAGS, "--window-size=1280,800", f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"]:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
    # the window of a headless browser loses some height to a frame that is not there
    inner = driver.execute_script("return [innerWidth, innerHeight]")
    driver.set_window_size(2 * 1280 - inner[0], 2 * 800 - inner[1])
    yield driver
    driver.quit()


FOLDS = {"Filters": "input[placeholder='search by name']", "Export, train": ".swsss-actions"}


class Page:
    "What a person does with a page."

    def __init__(self, driver):
        self.driver = driver

    def all(self, css):
        return self.driver.find_elements(By.CSS_SELECTOR, css)

    def one(self, css):
        return self.until(lambda: self.all(css), css)[0]

    def until(self, condition, what="a change"):
        ignored = [StaleElementReferenceException]
        return WebDriverWait(self.driver, PATIENCE, 0.1, ignored).until(lambda _: condition(), f"waited for {what}")

    def choose(self, option, within=".swsss-explorer"):
        "Choose an option in whichever list has it and is shown."
        lists = self.until(
            lambda: [s for s in self.selects(within) if option in [o.text for o in s.options]], f"the option {option}"
        )
        lists[0].select_by_visible_text(option)

    def unfold(self, text):
        "Open the filters, or what follows judging; the kernel answers by showing them."
        seen = lambda: self.one(f".swsss-explorer {FOLDS[text]}").is_displayed()  # noqa: E731
        if not seen():
            self.button(text).click()
            self.until(seen, f"{text} unfolded")

    def selects(self, within=".swsss-explorer"):
        "The lists that are shown."
        return [Select(node) for node in self.all(f"{within} select") if node.is_displayed()]

    def open_explorer(self, address, count=24):
        "Open a notebook with an explorer, run it, and wait for a page of thumbnails."
        self.run_all(address)
        self.scroll_to(".swsss-explorer")
        self.until(lambda: len(shown(self)) == count, "a page of thumbnails")
        self.until(lambda: "Idle" in self.kernel_status(), "an idle kernel")

    def open_run(self, project, lab, run):
        "Open the explorer on the labels of a run, which is made the newest."
        os.utime(project / "runs" / run / "metrics.csv")
        self.open_explorer(f"{lab}/tree/runs/explore_pseudo_labels.ipynb?token={TOKEN}&reset")

    def open_labels(self, lab, labels):
        "Open the explorer, and in it a label folder other than the newest."
        self.open_explorer(f"{lab}/tree/runs/explore_pseudo_labels.ipynb?token={TOKEN}&reset")
        first = shown(self)
        self.choose(labels)
        self.until(lambda: shown(self) and shown(self) != first, "the labels of another run")

    def text(self, css):
        return self.until(lambda: self.one(css).text, f"text in {css}")

    def button(self, text, within=".swsss-explorer"):
        path = f"//div[contains(@class, '{within[1:]}')]//button[contains(., '{text}')]"
        found = self.until(
            lambda: [b for b in self.driver.find_elements(By.XPATH, path) if b.is_displayed()], f"the button {text}"
        )
        return found[0]

    def keys(self, *keys):
        ActionChains(self.driver).send_keys(*keys).perform()

    def js(self, script, *args):
        return self.driver.execute_script(script, *args)

    def run_all(self, address):
        "Open a notebook and run all its cells from the menu."
        self.driver.get(address)
        self.one(".jp-Notebook .jp-Cell")
        self.until(self.ready, "an idle kernel")
        self.driver.find_element(By.XPATH, "//li[@role='menuitem'][.//div[text()='Run']]").click()
        path = "//li[@data-command='runmenu:run-all']"
        self.until(lambda: self.driver.find_elements(By.XPATH, path), "the Run menu")[0].click()
        # an explorer that is there already has scrolled the first cells out of the page
        running = lambda: re.search(r"\[(\*|\d+)\]", self.text(".jp-Notebook")) or self.all(".swsss-explorer")  # noqa: E731
        self.until(running, "a running cell")

    def ready(self):
        "An idle kernel for two seconds; JupyterLab may first ask which one, where it opened the file before its list."
        for _ in range(10):
            time.sleep(0.2)
            asked = self.all(".jp-Dialog .jp-mod-accept")
            if asked:
                asked[0].click()
            if asked or "Idle" not in self.kernel_status():
                return False
        return True

    def title(self):
        "The name of the label that is open."
        # again where the page is drawn anew between finding a name and reading it
        read = lambda: [" ".join(b.text for b in self.all(".swsss-head b") if b.is_displayed())]  # noqa: E731
        return self.until(read, "the name of the open label")[0]

    def kernel_status(self):
        found = self.all(".jp-Notebook-ExecutionIndicator")
        return found[0].get_attribute("data-status").capitalize() if found else ""

    def scroll_to(self, css):
        "Bring an output into view; JupyterLab takes cells that are far away out of the page."

        def there():
            if self.all(css):
                return True
            self.js("document.querySelector('.jp-WindowedPanel-outer').scrollTop = 0")
            return False

        self.until(there, css)
        self.js("arguments[0].scrollIntoView({block: 'start'})", self.one(css))

    def use_theme(self, name):
        "JupyterLab's 'Light' or 'Dark'."
        self.js("jupyterapp.commands.execute('apputils:change-theme', {theme: arguments[0]})", f"JupyterLab {name}")
        self.until(lambda: self.js("return document.body.dataset.jpThemeLight") == str(name == "Light").lower(), name)

    def screenshot(self, name):
        folder = ROOT / "artifacts"
        folder.mkdir(exist_ok=True)
        time.sleep(0.5)  # pictures that have arrived are drawn
        self.driver.save_screenshot(str(folder / f"{name}.png"))

    def errors(self):
        "What the page's own code complained of."
        lines = [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] == "SEVERE"]
        return [line for line in lines if "anywidget" in line or "swsss" in line or "TypeError" in line]


@pytest.fixture
def page(browser, request):
    "The browser's page; how it looked in the end is kept."
    page = Page(browser)
    yield page
    page.screenshot(f"{request.node.name}-end")


OVERFLOW = """
const root = document.querySelector(arguments[0]), limit = root.getBoundingClientRect().right + 1;
return [...root.querySelectorAll('*')].filter(node => {
  const box = node.getBoundingClientRect();
  return box.width && box.right > limit && !node.closest('.swsss-stage');
}).map(node => `${node.className}: ${node.textContent.slice(0, 40)}`);
"""


# Texts whose contrast with what is behind them is under WCAG's AA: 4.5, for large letters 3. The browser itself turns
# any CSS colour into RGB, colour-mix() too.
CONTRAST = """
const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
const rgba = colour => {
  canvas.clearRect(0, 0, 1, 1);
  canvas.fillStyle = colour;
  canvas.fillRect(0, 0, 1, 1);
  const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
  return [r, g, b, a / 255];
};
const over = (top, under) => [0, 1, 2].map(i => top[i] * top[3] + under[i] * (1 - top[3]));
const behind = node => {
  if (!node) return [255, 255, 255];
  const colour = rgba(getComputedStyle(node).backgroundColor);
  return colour[3] === 1 ? colour.slice(0, 3) : over(colour, behind(node.parentElement));
};
const light = rgb => {
  const [r, g, b] = rgb.map(c => c / 255).map(c => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const poor = new Set();
for (const root of document.querySelectorAll(arguments[0])) {
  const walk = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const node = walk.currentNode.parentElement, text = walk.currentNode.textContent.trim();
    if (!text || !node.checkVisibility({opacityProperty: true, visibilityProperty: true})) continue;
    if (node.closest('style, option, :disabled, canvas')) continue;
    const style = getComputedStyle(node), back = behind(node);
    const pair = [light(over(rgba(style.color), back)), light(back)].sort((a, b) => b - a);
    const size = parseFloat(style.fontSize), bold = style.fontWeight >= 700;
    const ratio = (pair[0] + 0.05) / (pair[1] + 0.05);
    if (ratio < (size >= 24 || (bold && size >= 18.66) ? 3 : 4.5)) {
      poor.add(`${ratio.toFixed(2)} ${node.className}: ${text.slice(0, 30)}`);
    }
  }
}
return [...poor];
"""


# The colours of a panel's two canvases, each with its number of pixels, and those of the class switches beside it.
PAINTED = """
const panel = document.querySelectorAll('.swsss-panel')[arguments[0]], count = canvas => {
  const {data} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height), colours = {};
  for (let i = 0; i < data.length; i += 4) {
    const colour = data.slice(i, i + 4).join(',');
    colours[colour] = (colours[colour] ?? 0) + 1;
  }
  return colours;
};
const swatches = [...document.querySelectorAll('.swsss-class .swsss-swatch')].map(
  node => `${getComputedStyle(node).backgroundColor.match(/\\d+/g).join(',')},255`);
const [fill, line] = ['.swsss-fill', '.swsss-line'].map(css => count(panel.querySelector(css)));
return {fill, line, colours: swatches};
"""


def shown(page):
    "Names on the page of thumbnails."
    return [card.get_attribute("data-name") for card in page.all(".swsss-card")]


def edit_label(page, number):
    "Open the editor on a label of the page that is shown; answers with its name."
    if page.title():
        page.keys("g")
        page.until(lambda: not page.title(), "the grid")
    name = shown(page)[number]
    page.all(".swsss-card")[number].click()
    page.until(lambda: name in page.title(), "the label")
    page.keys("c")
    page.until(lambda: page.all(".swsss-editor[open]") and page.one(".swsss-editor-name").text == name, "the editor")
    page.until(lambda: page.all(".swsss-choice"), "classes")
    return name


def point(page, x, y):
    "Where a label's pixel is in the window."
    box = page.js("return document.querySelector('.swsss-editor-label').getBoundingClientRect().toJSON()")
    width, height = page.js("const c = document.querySelector('.swsss-editor-label'); return [c.width, c.height]")
    return round(box["x"] + (x + 0.5) * box["width"] / width), round(box["y"] + (y + 0.5) * box["height"] / height)


def pointer(page, *pixels, drag=False, button=0):
    "Press the mouse on pixels of the label: on each, or drag it through all of them."
    actions = ActionBuilder(page.driver, duration=20)
    mouse = actions.pointer_action
    for i, (x, y) in enumerate(pixels):
        mouse.move_to_location(*point(page, x, y))
        if not drag or i == 0:
            mouse.pointer_down(button)
        if not drag or i == len(pixels) - 1:
            mouse.pointer_up(button)
    actions.perform()


def control(page, key):
    ActionChains(page.driver).key_down(Keys.CONTROL).send_keys(key).key_up(Keys.CONTROL).perform()


def choices(page):
    "{class: key} of the classes offered first."
    nodes = page.all(".swsss-editor-side > .swsss-choice")
    return {node.text.split("\n")[0]: node.text.split("\n")[-1] for node in nodes}


def judgements(project, run):
    "{name: row} of a run's judgements."
    path = project / "runs" / run / "labels" / "judgements.csv"
    if not path.is_file():
        return {}
    with open(path, newline="", encoding="utf-8") as f:
        return {row["name"]: row for row in csv.DictReader(f)}


def keep_picture(page, name, css):
    "A picture for the README, where it is asked for."
    folder = os.environ.get("SWSSS_PICTURES")
    if folder:
        path = ROOT / folder / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        size = page.driver.get_window_size()
        page.driver.set_window_size(size["width"], size["height"] + 300)  # all of it at once
        time.sleep(1)
        path.write_bytes(page.one(css).screenshot_as_png)
        page.driver.set_window_size(size["width"], size["height"])
        Image.open(path).convert("RGB").quantize(256).save(path, optimize=True)
        assert path.stat().st_size < 200_000
