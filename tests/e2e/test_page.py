"""--format speedscope and --format html: the numbers against the other formats, the page in a real browser.

TM_SCREENSHOTS=DIRECTORY keeps the pictures of the page that are taken."""

import collections
import html.parser
import itertools
import json
import os
import pathlib
import re
import tracemalloc

import harness
import pytest
from browser import Browser
from harness import coreanalyze, coreanalyze_json

BEFORE = (100, 20, 30)  # blocks: steady, growing, shrinking
AFTER = (100, 50, 5)
HOSTILE_FUNCTION = "<img src=x onerror=document.documentElement.dataset.owned=1>"
HOSTILE_FILE = "/</script><script>document.documentElement.dataset.owned=1</script>&lt;\\u2028\\xff.c"  # as text output writes it
SIZES = {"steady": 64, "growing": 1000, "shrinking": 3000}

has_page = not re.search("built without the page", coreanalyze("top", "--format", "html", "/dev/null", status=None).stderr)
needs_page = pytest.mark.skipif(not has_page, reason="built without npm: there is no --format html")
needs_browser = pytest.mark.skipif(not harness.have("chromium"), reason="chromium is not there")


# ------------------------------------------------------------------------------------------------------------- fixtures

@pytest.fixture(scope="module")
def cores(tmp_path_factory):
    """(earlier core, later core): of the same program with the names of one function replaced."""
    directory = tmp_path_factory.mktemp("page")
    harness.run_ok([harness.CC, "-c", "-g", "-O1", "-w", harness.PROGRAMS / "page.c", "-o", directory / "page.o"])
    harness.run_ok(["objcopy", "--redefine-sym=hostile=" + HOSTILE_FUNCTION, directory / "page.o"])
    program = harness.compile_program(directory / "page.o", directory / "page")
    found = [harness.crash(harness.traced([program, *map(str, blocks)]), directory / name)[1]
             for name, blocks in (("before", BEFORE), ("after", AFTER))]
    yield found
    for core in found:
        core.unlink()


def written(tmp_path, name, *arguments, **options):
    """The file that a command writes, and what it says besides."""
    path = tmp_path / name
    result = coreanalyze(*arguments, "-o", path, **options)
    assert result.stdout == ""
    return path, result.stderr


# ----------------------------------------------------------------------------------------------------------- speedscope

def speedscope(*arguments):
    """The file, checked against what the format's description demands."""
    result = coreanalyze(*arguments, "--format", "speedscope")
    assert "coverage: " in result.stderr
    file = json.loads(result.stdout)
    assert file["$schema"] == "https://www.speedscope.app/file-format-schema.json"
    assert isinstance(file["name"], str) and file["exporter"].startswith("coreanalyze ")
    assert 0 <= file["activeProfileIndex"] < len(file["profiles"])
    for frame in file["shared"]["frames"]:
        assert isinstance(frame["name"], str) and set(frame) <= {"name", "file", "line"}
        assert frame.get("line", 1) > 0
    for profile in file["profiles"]:
        assert set(profile) == {"type", "name", "unit", "startValue", "endValue", "samples", "weights"}
        assert profile["type"] == "sampled" and profile["unit"] in ("bytes", "none") and isinstance(profile["name"], str)
        assert len(profile["samples"]) == len(profile["weights"]) and all(weight > 0 for weight in profile["weights"])
        assert profile["startValue"] == 0 and profile["endValue"] == sum(profile["weights"])
        assert all(0 <= frame < len(file["shared"]["frames"]) for sample in profile["samples"] for frame in sample)
    return file


def stacks_of(file, number):
    """{"a;b;c": weight} of a profile, names as folded stacks have them."""
    names = [frame["name"] for frame in file["shared"]["frames"]]
    profile = file["profiles"][number]
    sums = collections.Counter()
    for sample, weight in zip(profile["samples"], profile["weights"]):
        sums[";".join(names[frame] for frame in sample)] += weight
    return sums


def folded(*arguments):
    """{"a;b;c": [number, ...]} of folded stacks."""
    sums = {}
    for line in coreanalyze(*arguments, "--format", "folded").stdout.splitlines():
        stack, *numbers = line.rsplit(" ", 2 if arguments[0] == "diff" else 1)
        sums[stack] = [a + b for a, b in itertools.zip_longest(sums.get(stack, []), map(int, numbers), fillvalue=0)]
    return sums


@pytest.mark.parametrize("options", [(), ("--by", "lineno"), ("--by", "module", "-n", "1"), ("--value", "total"), ("--function", "steady")])
def test_speedscope_is_what_folded_stacks_say(cores, options):
    file = speedscope("top", *options, cores[1])
    assert [profile["unit"] for profile in file["profiles"]] == ["bytes", "none"]
    assert stacks_of(file, 0) == {stack: size for stack, (size,) in folded("top", *options, cores[1]).items()}
    by = () if "--by" in options else ("--by", "traceback", "-n0")
    answer = coreanalyze_json("top", *by, *(options if "-n" in options else (*options, "-n0")), cores[1])
    for number, key in enumerate(("size", "count")):
        assert file["profiles"][number]["endValue"] == sum(item[key] for item in answer["statistics"]) == \
            answer["total"][key] - answer["other"][key]


def test_speedscope_knows_places(cores):
    """Sums and lines that page.c says."""
    file = speedscope("top", cores[1])
    sums = stacks_of(file, 0)
    for (name, size), blocks in zip(SIZES.items(), AFTER):
        assert [weight for stack, weight in sums.items() if stack.endswith(";" + name)] == [size * blocks]
    source = (harness.PROGRAMS / "page.c").read_text().splitlines()
    places = {frame["name"]: (frame["file"], frame["line"]) for frame in file["shared"]["frames"] if "line" in frame}
    assert places["growing"] == (str(harness.PROGRAMS / "page.c"), source.index("        hold(malloc(1000));") + 1)
    assert places[HOSTILE_FUNCTION] == (HOSTILE_FILE, 102)


def test_speedscope_of_a_difference(cores):
    """Growth and shrinkage apart, since weights have no sign."""
    file = speedscope("diff", *cores)
    assert [(profile["name"], profile["unit"]) for profile in file["profiles"]] == \
        [("bytes grown", "bytes"), ("bytes shrunk", "bytes"), ("blocks more", "none"), ("blocks fewer", "none")]
    expected = [collections.Counter(), collections.Counter()]
    for stack, (old, new) in folded("diff", *cores).items():
        if old != new:
            expected[new < old][stack] += abs(new - old)
    assert [stacks_of(file, 0), stacks_of(file, 1)] == expected
    assert [sum(profile["weights"]) for profile in file["profiles"]] == [30 * 1000, 25 * 3000, 30, 25]


def test_speedscope_of_leaks(cores):
    file = speedscope("leaks", cores[0])
    assert stacks_of(file, 0) == {stack: size for stack, (size,) in folded("leaks", cores[0]).items()}
    assert [weight for stack, weight in stacks_of(file, 0).items() if re.match("direct;.*;leaking$", stack)] == [480]
    assert sum(stacks_of(file, 1).values()) == coreanalyze_json("leaks", cores[0])["total"]["count"]


def test_traces_have_neither(cores):
    for form in ("speedscope", "html"):
        message = coreanalyze("traces", "--format", form, cores[0], status=64).stderr
        assert f"'{form}' is none of text, json, csv, folded, pprof" in message


# --------------------------------------------------------------------------------------------------------- without npm

def make_page(directory, npm=None):
    """coreanalyze/page/make where npm is the shell script `npm`, or is not there."""
    tools = directory / "tools"
    tools.mkdir(parents=True)
    for tool in ("sh", "dirname", "find", "flock", "cmp", "cp", "mv", "rm", "touch"):
        (tools / tool).symlink_to("/usr/bin/" + tool)
    (directory / "npm").touch()
    if npm is not None:
        for name in ("npm", "node"):
            (tools / name).write_text(f"#!/bin/sh\n{npm}\n")
            (tools / name).chmod(0o755)
    return harness.run_ok([harness.REPO / "coreanalyze" / "page" / "make", directory], env={"PATH": str(tools)})


@pytest.mark.parametrize("npm, reason", [(None, "npm is not there"), ("echo no network >&2; exit 1", "npm could not make it, see {}/log")])
def test_the_build_goes_on_without_npm(tmp_path, npm, reason):
    """One line, and an empty page."""
    result = make_page(tmp_path / "page", npm)
    assert result.stderr == f"coreanalyze/page: no --format html: {reason.format(tmp_path / 'page')} (`make page` tries again)\n"
    assert (tmp_path / "page" / "page.html").read_bytes() == b""
    assert npm is None or "no network" in (tmp_path / "page" / "log").read_text()


def test_a_build_without_the_page_says_so(cores, tmp_path):
    """The engine, linked with an empty page."""
    objects = harness.BUILD / "obj" / "coreanalyze"
    sources = [path.relative_to(harness.REPO / "coreanalyze") for path in (harness.REPO / "coreanalyze").rglob("*.c")]
    others = [objects / path.with_suffix(".o") for path in sources if path.name not in ("template.c", "main.c", "kernel_pipe.c")]
    others += objects.rglob("*.pb-c.o")
    (tmp_path / "empty").touch()
    harness.run_ok([harness.CC, "-std=gnu17", "-D_GNU_SOURCE", "-fPIC", f'-DCA_PAGE_FILE="{tmp_path}/empty"', "-c", "-o", tmp_path / "template.o",
                    harness.REPO / "coreanalyze" / "output" / "flames" / "template.c"])
    harness.run_ok([harness.CC, "-shared", "-Wl,-soname,libcoreanalyze.so", "-o", tmp_path / "libcoreanalyze.so", tmp_path / "template.o",
                    *others, "-ldw", "-lelf", "-lprotobuf-c", "-lz", "-liberty"])
    environment = harness.clean_environment(LD_LIBRARY_PATH=tmp_path)
    result = coreanalyze("top", "--format", "html", "-o", tmp_path / "page.html", cores[0], status=64, env=environment)
    assert result.stdout == "" and not (tmp_path / "page.html").exists()
    assert re.fullmatch(r"coreanalyze: top: --format html: tm was built without the page.* `make page` .*\n", result.stderr)
    assert coreanalyze("top", cores[0], env=environment).stdout == coreanalyze("top", cores[0]).stdout


def test_lock_file_names_no_registry():
    """Packages are found where the one who builds has them from."""
    text = (harness.REPO / "coreanalyze" / "page" / "package-lock.json").read_text()
    assert "://" not in re.sub(r'"url": "[^"]*"', "", text) and '"integrity": "sha512-' in text


# ------------------------------------------------------------------------------------------------------------ the file

class Elements(html.parser.HTMLParser):
    """What a page consists of: its elements, and the text of the scripts."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.scripts, self._script = [], [], None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag == "script":
            self._script = dict(attrs)
            self.scripts.append((self._script, ""))

    def handle_endtag(self, tag):
        if tag == "script":
            self._script = None

    def handle_data(self, data):
        if self._script is not None:
            attributes, text = self.scripts.pop()
            self.scripts.append((attributes, text + data))


def data_of(path):
    """The page's data, and the page."""
    page = Elements(path.read_text("utf-8"))
    (attributes, text), = [script for script in page.scripts if script[0].get("id") == "data"]
    assert attributes["type"] == "application/json" and len(page.scripts) == 2
    return json.loads(text), page


def stacks_in(data, part, first):
    """{"a;b;c": [numbers]}: functions, as folded stacks have them."""
    sums = {}
    for item in part["stacks"]:
        names = [data["names"][data["frames"][number][0]] or data["names"][data["frames"][number][1]] for number in item[first:]]
        stack = ";".join(name.replace(";", ",") for name in names)
        sums[stack] = [a + b for a, b in itertools.zip_longest(sums.get(stack, []), item[:first], fillvalue=0)]
    return sums


@needs_page
def test_page_holds_what_the_other_formats_say(cores, tmp_path):
    data, page = data_of(written(tmp_path, "top.html", "top", "--format", "html", cores[1])[0])
    answer = coreanalyze_json("top", "-n0", cores[1])
    part, = data["parts"]
    assert {stack: size for stack, (size, _) in stacks_in(data, part, 2).items() if size} == \
        {stack: size for stack, (size,) in folded("top", cores[1]).items()}
    assert [row[:2] for row in part["rows"]] == [[item["size"], item["count"]] for item in answer["statistics"]]
    assert [data["frames"][row[2]][2] for row in part["rows"]] == [item["traceback"][0]["lineno"] for item in answer["statistics"]]
    assert (data["total"]["size"], data["total"]["count"]) == (answer["total"]["size"], answer["total"]["count"])
    assert data["notes"] in coreanalyze("top", cores[1]).stdout and data["complete"] is True
    # nothing is fetched, and nothing but the page's own script may run
    assert not [tag for tag in page.tags if any(name in ("src", "srcset", "action") for name in tag[1])]
    assert [tag[1]["href"] for tag in page.tags if "href" in tag[1]] == ["data:,"]
    policy, = [attributes["content"] for _, attributes in page.tags if attributes.get("http-equiv") == "Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'sha256-") and "unsafe" not in policy
    assert "Apache License" in (tmp_path / "top.html").read_text() and "sourceMappingURL" not in (tmp_path / "top.html").read_text()


@needs_page
def test_limits_and_keys_are_the_table_s(cores, tmp_path):
    """The flames show everything, by traceback, whatever the table shows."""
    whole = data_of(written(tmp_path, "1.html", "top", "--format", "html", cores[1])[0])[0]
    for key in ("filename", "function", "module", "traceback"):
        data, _ = data_of(written(tmp_path, "2.html", "top", "--by", key, "-n", "1", "--format", "html", cores[1])[0])
        answer = coreanalyze_json("top", "--by", key, "-n", "1", cores[1])
        part, = data["parts"]
        assert stacks_in(data, part, 2) == stacks_in(whole, whole["parts"][0], 2)
        rows = part["stacks"][:part["rows"]] if key == "traceback" else part["rows"]
        assert [row[:2] for row in rows] == [[item["size"], item["count"]] for item in answer["statistics"]]
        assert data["other"]["size"] == answer["other"]["size"] and data["other"]["groups"] == answer["other"]["groups"]
    data, _ = data_of(written(tmp_path, "3.html", "top", "--cumulative", "--format", "html", cores[1])[0])
    assert data["cumulative"] is True and sum(row[0] for row in data["parts"][0]["rows"]) > data["total"]["size"]


@needs_page
def test_pages_of_a_difference_and_of_leaks(cores, tmp_path):
    data, _ = data_of(written(tmp_path, "diff.html", "diff", "--format", "html", *cores)[0])
    assert {stack: [new - change, new] for stack, (new, _, change, _) in stacks_in(data, data["parts"][0], 4).items() if new or change} == \
        folded("diff", *cores)
    assert data["total"]["size_diff"] == 30 * 1000 - 25 * 3000 and data["total"]["count_diff"] == 30 - 25
    data, _ = data_of(written(tmp_path, "leaks.html", "leaks", "--by", "lineno", "--format", "html", cores[0])[0])
    assert [part["name"] for part in data["parts"]] == ["direct", "indirect"]
    assert {f"{part['name']};{stack}": size for part in data["parts"] for stack, (size, _) in stacks_in(data, part, 2).items()} == \
        {stack: size for stack, (size,) in folded("leaks", cores[0]).items()}
    assert data["total"]["size"] == coreanalyze_json("leaks", cores[0])["total"]["size"]


@needs_page
def test_gdb_writes_the_same_page(cores, tmp_path):
    ours = [written(tmp_path, f"{form}.ours", "top", "--format", form, cores[1])[0] for form in ("html", "speedscope")]
    program = cores[1].parent.parent / "page"
    harness.gdb([f"tm-top -format {path.stem} -o {path.with_suffix('.gdb')}" for path in ours], program, cores[1])
    for path in ours:
        assert path.with_suffix(".gdb").read_bytes() == path.read_bytes(), path


# --------------------------------------------------------------------------------------------------------- in a browser

@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    opened = Browser(tmp_path_factory.mktemp("profile"))
    opened.media("light")
    opened.window(1280, 900)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def pages(cores, tmp_path_factory):
    """{"top", "diff", "leaks": address of the page}"""
    directory = tmp_path_factory.mktemp("pages")
    return {command: written(directory, f"{command}.html", command, "--format", "html", *files)[0].as_uri()
            for command, files in (("top", cores[1:]), ("diff", cores), ("leaks", cores[:1]))}


def show(browser, url):
    """Opens a page and waits until its flames have come to rest."""
    browser.open(url)
    browser.wait("document.querySelector('g.frame') && [...document.querySelectorAll('g.frame')].every(g =>"
                 " Math.abs(g.querySelector('rect').getAttribute('width') - g.getAttribute('width')) < 0.5)")


def take_picture(browser, name):
    if "TM_SCREENSHOTS" in os.environ:
        browser.picture(pathlib.Path(os.environ["TM_SCREENSHOTS"]) / f"{name}.png")


def cells(browser, column, part="tbody"):
    """Texts of a column of the table, without what is small print."""
    return browser.evaluate(f"[...document.querySelectorAll('{part} td.{column}')].map(cell => (cell.querySelector('.name') || cell.firstChild)"
                            f".textContent)")


def fills(browser):
    """{name of a frame: (red, green, blue)} of the flames that are drawn."""
    browser.wait("document.querySelector('g.frame rect') && [...document.querySelectorAll('g.frame rect')].every(r => r.getAttribute('fill'))")
    found = browser.evaluate("Object.fromEntries([...document.querySelectorAll('g.frame')].map(g => [g.getAttribute('name'),"
                             " getComputedStyle(g.querySelector('rect')).fill]))")
    return {name: tuple(map(int, re.findall(r"\d+", fill)))[:3] for name, fill in found.items()}


def format_size(size):
    return tracemalloc._format_size(size, False)


@needs_page
@needs_browser
def test_numbers_on_the_page(browser, pages, cores):
    show(browser, pages["top"])
    answer = coreanalyze_json("top", "-n0", cores[1])
    total = answer["total"]
    assert browser.evaluate("document.title") == "page"
    assert f"{cores[1].parent.parent / 'page'} (process " in browser.evaluate("document.getElementById('subtitle').textContent")
    assert browser.evaluate("document.getElementById('total').textContent") == \
        f"{format_size(total['size'])} ({total['size']:,} B) in {total['count']:,} blocks"
    assert browser.evaluate("document.getElementById('notes').innerText") == coreanalyze("top", cores[1]).stdout.splitlines()[-1]
    assert cells(browser, "size") == [format_size(item["size"]) for item in answer["statistics"]]
    assert browser.evaluate("[...document.querySelectorAll('tbody td.size')].map(cell => cell.title)") == \
        [f"{item['size']:,} B" for item in answer["statistics"]]
    assert cells(browser, "blocks") == [f"{item['count']:,}" for item in answer["statistics"]]
    assert cells(browser, "average") == [format_size(item["size"] / item["count"]) for item in answer["statistics"]]
    assert cells(browser, "size", "tfoot") == [format_size(total["size"])]
    assert {"all", "main", "steady", "growing", "shrinking"} <= set(fills(browser))
    take_picture(browser, "light")
    assert browser.problems() == []


@needs_page
@needs_browser
def test_names_are_text(browser, pages):
    """No name becomes markup, wherever it is shown."""
    show(browser, pages["top"])
    assert f"{HOSTILE_FILE}:102" in cells(browser, "place")
    assert HOSTILE_FUNCTION in fills(browser)
    browser.point("([...document.querySelectorAll('g.frame')].find(g => g.getAttribute('name').startsWith('<img')))")
    browser.wait("!document.getElementById('tip').hidden")
    assert browser.evaluate("document.getElementById('tip').firstChild.textContent") == HOSTILE_FUNCTION
    browser.click("#frames")
    browser.evaluate("(select => { select.value = 'lines'; select.dispatchEvent(new Event('change')); })(document.getElementById('frames'))")
    browser.wait("[...document.querySelectorAll('g.frame')].some(g => g.getAttribute('name').startsWith('<img') && g.getAttribute('name').endsWith(':102'))")
    assert browser.evaluate("document.documentElement.dataset.owned") is None
    assert browser.evaluate("document.querySelectorAll('img, body script').length") == 2  # the data and the page's own
    assert browser.problems() == []


@needs_page
@needs_browser
def test_sorting_and_searching(browser, pages, cores):
    show(browser, pages["top"])
    answer = coreanalyze_json("top", "-n0", cores[1])
    counts = sorted((item["count"] for item in answer["statistics"]), reverse=True)
    browser.click("th.blocks button")
    assert cells(browser, "blocks") == [f"{number:,}" for number in counts]
    assert browser.evaluate("document.querySelector('th.blocks').getAttribute('aria-sort')") == "descending"
    browser.click("th.blocks button")
    assert cells(browser, "blocks") == [f"{number:,}" for number in reversed(counts)]
    plain = fills(browser)
    browser.evaluate("document.getElementById('search').focus()")
    browser.type("GROWING")
    browser.wait("document.getElementById('found').textContent")
    assert cells(browser, "size") == [format_size(50 * 1000)]
    assert browser.evaluate("document.getElementById('found').textContent").startswith("1 of ")
    assert f"({50 * 1000:,} B)" in browser.evaluate("document.getElementById('found').textContent")
    found = fills(browser)
    assert found["growing"] != found["steady"] == found["main"] and found["growing"] != plain["growing"]
    kept = browser.evaluate("location.href")
    show(browser, pages["leaks"])
    show(browser, kept)  # the address holds it all
    assert cells(browser, "size") == [format_size(50 * 1000)]
    assert browser.evaluate("document.querySelector('th.blocks').getAttribute('aria-sort')") == "ascending"
    take_picture(browser, "search")
    assert browser.problems() == []


def widths(browser):
    return browser.evaluate("Object.fromEntries([...document.querySelectorAll('g.frame')].map(g => [g.getAttribute('name'),"
                            " g.querySelector('rect').getBoundingClientRect().width]))")


@needs_page
@needs_browser
def test_zooming_by_mouse_and_keyboard(browser, pages):
    show(browser, pages["top"])
    whole = browser.evaluate("document.getElementById('flames').clientWidth")
    drawn = "Math.abs(document.querySelector('g.frame[name=\"%s\"] rect').getBoundingClientRect().width - %d) < 3"
    browser.wait(drawn % ("all", whole))
    first = widths(browser)
    assert first["growing"] / first["shrinking"] == pytest.approx(50 * 1000 / (5 * 3000), rel=0.05)
    browser.click("g.frame[name=growing]")
    browser.wait(drawn % ("growing", whole))
    browser.evaluate("document.getElementById('flames').focus()")
    browser.press("Escape")
    browser.wait(drawn % ("growing", first["growing"]))
    down = "document.querySelector('g.frame.current').getAttribute('name') === %s"
    for _ in range(20):  # to the widest leaf, which growing's is
        browser.press("ArrowDown")
    assert browser.evaluate(down % "'growing'")
    assert f"{50 * 1000:,} B" in browser.evaluate("document.getElementById('details').textContent")
    browser.press("ArrowRight")
    assert browser.evaluate(down % "'shrinking'")
    browser.press("Enter")
    browser.wait(drawn % ("shrinking", whole))
    assert browser.problems() == []


@needs_page
@needs_browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_difference_has_two_colours(browser, pages, scheme):
    browser.media(scheme)
    show(browser, pages["diff"])
    colors = fills(browser)
    red, _, blue = colors["growing"]
    assert red > blue + 60
    red, _, blue = colors["shrinking"]
    assert blue > red + 60
    assert "steady" not in colors  # it did not change
    browser.evaluate("(select => { select.value = 'bytes'; select.dispatchEvent(new Event('change')); })(document.getElementById('measure'))")
    browser.wait("document.querySelector('g.frame[name=steady]')")
    red, green, blue = fills(browser)["steady"]
    assert max(red, green, blue) - min(red, green, blue) < 20
    assert browser.evaluate("[...document.querySelectorAll('td.change')].map(cell => [cell.firstChild.textContent, cell.className])")[:2] == \
        [["-73.2 KiB", "change shrank"], ["+29.3 KiB", "change grew"]]
    take_picture(browser, f"diff-{scheme}")
    show(browser, pages["top"])
    take_picture(browser, f"top-{scheme}")
    # text on the flames and on the page can be read: a ratio of 4.5 and more
    assert browser.evaluate(CONTRAST) >= 4.5
    browser.media("light")
    assert browser.problems() == []


# The least contrast of labels and text with what is behind them, by the formula of WCAG 2.
CONTRAST = """(() => {
    const light = text => {
        const parts = text.match(/[\\d.]+/g).slice(0, 3).map(part => part / 255).map(part => part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
    };
    const ratio = (a, b) => (Math.max(light(a), light(b)) + 0.05) / (Math.min(light(a), light(b)) + 0.05);
    const paper = getComputedStyle(document.body).backgroundColor;
    const flames = [...document.querySelectorAll('g.frame')].map(g => ratio(getComputedStyle(g.querySelector('div')).color, getComputedStyle(g.querySelector('rect')).fill));
    const texts = [...document.querySelectorAll('h1, p, td, .remark, .share, label, li')].map(one => ratio(getComputedStyle(one).color, paper));
    return Math.min(...flames, ...texts);
})()"""


@needs_page
@needs_browser
def test_narrow_windows(browser, pages):
    """Nothing sticks out of a telephone's screen."""
    browser.window(360, 740)
    for command in ("top", "diff", "leaks"):
        show(browser, pages[command])
        browser.wait("document.querySelector('#flames svg').clientWidth <= 360")
        assert browser.evaluate("document.documentElement.scrollWidth") <= 360
        take_picture(browser, f"narrow-{command}")
    browser.window(1280, 900)
    browser.wait("document.querySelector('#flames svg').clientWidth > 1000")
    take_picture(browser, "leaks")
    assert browser.problems() == []
