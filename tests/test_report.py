"""The report of real little runs: self-contained, safe, true to the numbers, and still there when the data is gone."""

import base64
import io
import json
import math
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

from openjepa import report
from openjepa.masks.random import Random
from openjepa.modalities.image import Image
from openjepa.models.encoder import EncoderConfig
from openjepa.models.predictor import PredictorConfig
from openjepa.objectives.jepa import JEPAConfig
from openjepa.objectives.mae import MAEConfig
from openjepa.report import curves, gallery, pictures
from openjepa.report.curves import Axes, Line, chart
from openjepa.report.text import number, safe
from openjepa.run import DataConfig, Run
from openjepa.train import train

EVIL = "<img src=x onerror=alert(1)>&\"' \x07\n\udcff"
RUN = Run(
    modality=Image(size=(24, 40), patch=(8, 8)),
    objective=JEPAConfig(
        encoder=EncoderConfig(dim=16, depth=2, heads=2),
        predictor=PredictorConfig(dim=8, depth=1, heads=2),
        masks=Random(ratio=0.6),
        union=True,
    ),
    steps=4,
    batch_size=6,
    log_every=1,
    device="cpu",
    precision="float32",
    workers=0,
)


def draw(path, seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    Pillow.fromarray(np.random.default_rng(seed).integers(0, 256, (30, 44, 3), dtype=np.uint8)).save(path, "PNG")


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Two classes of noise, one of them and one file with a name that wants to be markup, and a file that is no image."""
    root = tmp_path_factory.mktemp("photos")
    for i in range(9):
        draw(root / "plain" / f"{i}.png", i)
        draw(
            root / "a <b onclick='x()'> & b" / (f'{i} "<img src=x onerror=alert(1)>\n.png' if i == 3 else f"{i}.png").replace("/", ""),
            20 + i,
        )
    (root / "plain" / "<script>alert(2)<>.png").write_bytes(b"")
    return root


@pytest.fixture(scope="module")
def finished(photos, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "a <i>run"
    train(
        replace(RUN, data=DataConfig(path=str(photos), cache="off", max_bad=0.5)),
        out,
        recipe="image.ijepa",
        command=f"openjepa train --data '{EVIL}'",
    )
    return out


@pytest.fixture
def run(finished, tmp_path):
    """A copy that a test may spoil."""
    return shutil.copytree(finished, tmp_path / finished.name)


class Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


TAGS = {
    "html", "head", "meta", "title", "style", "body", "main", "header", "footer", "nav", "section", "h1", "h2", "p", "b",
    "i", "small", "a", "span", "div", "ul", "li", "dl", "dt", "dd", "table", "caption", "thead", "tbody", "tr",
    "th", "td", "pre", "code", "details", "summary", "figure", "figcaption", "svg", "g", "path", "line", "circle", "rect", "text",
    "img",
}  # fmt: skip


def check(text: str) -> Page:
    """Nothing runs, nothing is fetched, everything that is seen is also said."""
    page = Page(text)
    assert {tag for tag, _ in page.found} <= TAGS, {tag for tag, _ in page.found} - TAGS
    assert not [name for _, attributes in page.found for name in attributes if name.startswith("on")]
    links = [
        value
        for _, attributes in page.found
        for name, value in attributes.items()
        if name in ("src", "href", "xlink:href", "srcset", "action", "data")
    ]
    assert all(link and link.startswith(("data:image/png;base64,", "#")) for link in links)
    assert "@import" not in text
    assert "url(" not in text
    assert "default-src 'none'" in next(m["content"] for m in page.all("meta") if m.get("http-equiv") == "Content-Security-Policy")
    assert all(image["alt"] for image in page.all("img"))
    assert all(svg.get("aria-label") or svg.get("aria-hidden") == "true" for svg in page.all("svg"))
    assert {link["href"][1:] for link in page.all("a")} == {h["id"] for h in page.all("h2")}
    return page


def test_the_page_is_one_safe_file_whatever_names_say(run):
    (run / "ledger.jsonl").write_text(json.dumps({"path": EVIL, "reason": EVIL, "kind": "bad", "step": 3}) + "\n", encoding="utf-8")
    path = report.write(run)
    assert path == run / "report.html"
    text = path.read_text("utf-8")
    page = check(text)
    assert "Not shown" not in page.text
    assert len(page.all("img")) == 6 * 3 + 6 * 4 + 6 * (1 + 5 + 5)
    assert "<img src=x onerror=alert(1)>&\"' \\x07\\n\\udcff" in page.text  # shown as the text that it is
    assert page.all("title")
    assert "a <i>run" in page.text
    assert "a <b onclick='x()'> & b" in page.text  # the label under its pictures


def test_markup_is_not_let_through_by_a_probe_or_the_run_either(run):
    (run / "probes").mkdir()
    result = probe_result()
    result["rows"][0]["label"] = result["rows"][1]["label"] = result["rows"][2]["label"] = EVIL
    result["warnings"] = [EVIL]
    (run / "probes" / "1.json").write_text(json.dumps(result))
    info = json.loads((run / "run.json").read_text())
    info |= {"recipe": EVIL, "device": EVIL, "changes": [{"at": EVIL, "changed": [EVIL]}]}
    info["versions"][EVIL] = EVIL
    (run / "run.json").write_text(json.dumps(info))
    with (run / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({"step": 5, "verdict": EVIL, "advice": EVIL, "loss": 1.0}) + "\n")
    check(report.write(run).read_text("utf-8"))


def test_without_its_data_the_rest_of_the_page_is_there_and_says_why(run):
    info = json.loads((run / "run.json").read_text())
    info["run"]["data"]["path"] = str(run / "gone")
    (run / "run.json").write_text(json.dumps(info))
    page = check(report.write(run).read_text("utf-8"))
    assert page.text.count("Not shown: ") == 3
    assert str(run / "gone") in page.text
    assert len(page.all("figure")) > 8


def test_without_weights_metrics_or_probes_there_is_still_a_page(run):
    shutil.rmtree(run / "checkpoints")
    shutil.rmtree(run / "untrained")
    (run / "metrics.jsonl").unlink()
    page = check(report.write(run).read_text("utf-8"))
    assert "no verdict yet" in page.text
    assert len(page.all("img")) == 18  # masks need no weights
    assert page.text.count("Not shown: ") == 2


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(ValueError, match="not a run folder"):
        report.write(tmp_path)


def test_mae_and_the_tabletop_world_have_a_report_too(tmp_path):
    objective = MAEConfig(encoder=RUN.objective.encoder, decoder=PredictorConfig(dim=8, depth=1, heads=2))
    world = replace(RUN, modality=Image(size=(32, 32), patch=(8, 8)), objective=objective, data=DataConfig(path="world:tabletop?count=40"))
    train(world, tmp_path / "run")
    page = check(report.write(tmp_path / "run").read_text("utf-8"))
    assert "Not shown" not in page.text
    assert "Momentum" not in page.text


def test_figures_show_the_crops_and_masks_that_training_used(run, photos):
    """The second picture of each card is the context of that image, exactly as the loader makes it at step 0."""
    looked = gallery.Looked.at(gallery_run(run))
    rows = np.array([looked.rows[i] for i in looked.shown])
    batch = looked.run.run.batch([looked.images[i] for i in looked.shown], 0, rows)
    images = [decoded(src) for src in re.findall(r'src="data:image/png;base64,([^"]+)"', gallery.masks(looked))]
    for i, (crop, context) in enumerate(zip(batch.views[0], batch.masks[0].context, strict=True)):
        assert torch.equal(images[3 * i], crop)
        kept = torch.zeros(15, dtype=torch.bool)
        kept[context] = True
        visible = kept.reshape(3, 5).repeat_interleave(8, 0).repeat_interleave(8, 1)
        assert torch.equal(images[3 * i + 1], torch.where(visible, crop, 128))


def gallery_run(folder):
    from openjepa.checkpoint import load_run

    return load_run(folder)


def decoded(data: str) -> torch.Tensor:
    return torch.from_numpy(np.array(Pillow.open(io.BytesIO(base64.b64decode(data))))).permute(2, 0, 1)


def test_neighbours_equal_the_slow_loop_and_leave_the_query_out():
    x = torch.randn(17, 5, generator=torch.Generator().manual_seed(0))
    z = x.double().numpy() - x.double().numpy().mean(0)
    for query, near in zip((3, 11), pictures.neighbours(x, [3, 11], 4), strict=True):
        likeness = {i: z[i] @ z[query] / np.linalg.norm(z[i]) / np.linalg.norm(z[query]) for i in range(17) if i != query}
        assert near.tolist() == sorted(likeness, key=likeness.get, reverse=True)[:4]


def test_colours_are_the_principal_components_in_order_and_do_not_flip():
    rng = np.random.default_rng(0)
    rotation, _ = np.linalg.qr(rng.normal(size=(11, 11)))
    skewed = rng.gamma(2.0, size=(13, 7, 3)) * [5, 3, 2]
    tokens = torch.tensor(skewed @ rotation[:3] + 0.01 * rng.normal(size=(13, 7, 11)), dtype=torch.float32)
    flat = tokens.double().numpy().reshape(-1, 11)
    u, s, _ = np.linalg.svd(flat - flat.mean(0), full_matrices=False)
    scores = u[:, :3] * s[:3]
    scores = scores * np.sign((scores**3).sum(0))
    low, high = np.percentile(scores, [1, 99], axis=0)
    oracle = ((scores - low) / (high - low)).clip(0, 1).reshape(13, 7, 3)
    rgb = pictures.colours(tokens, 5)
    np.testing.assert_allclose(rgb.numpy(), oracle[:5], atol=1e-4)
    assert torch.allclose(pictures.colours(-tokens, 5), rgb, atol=1e-4)  # the sign of a component says nothing
    assert torch.allclose(pictures.colours(tokens @ torch.tensor(rotation, dtype=torch.float32), 5), rgb, atol=1e-3)


# ---- curves


@pytest.mark.parametrize("values", [[0.5, 0.4, 0.1, 0.2], [100.0, 1.0, 0.01, 0.1], [3.0, 3.0, 3.0, 3.0], [-2.0, 5.0, 0.0, 1.0]])
def test_a_drawn_curve_reads_back_as_its_values(values):
    steps = [0, 10, 25, 40]
    svg = chart("title", [Line("loss", list(zip(steps, values, strict=True)))])
    path = next(d for d in re.findall(r'class="line c0" d="(M[^"]+)"', svg) if "H" not in d)
    drawn = [tuple(map(float, p.split())) for p in path[1:].split("L")]
    log = "logarithmic" in svg
    assert log == (min(values) > 0 and max(values) > 30 * min(values))
    axes = Axes.over(steps, values, log)
    for (x, y), step, value in zip(drawn, steps, values, strict=True):
        assert x == pytest.approx(curves.LEFT + step / 40 * (curves.WIDTH - curves.LEFT - curves.RIGHT), abs=0.06)
        height = (curves.HEIGHT - curves.BOTTOM - y) / (curves.HEIGHT - curves.TOP - curves.BOTTOM) * (axes.y1 - axes.y0) + axes.y0
        assert (10**height if log else height) == pytest.approx(value, rel=0.02, abs=0.02)
        assert curves.TOP - 0.1 <= y <= curves.HEIGHT - curves.BOTTOM + 0.1


def test_a_tick_stands_at_its_value():
    svg = chart("title", [Line("loss", [(0, 0.0), (100, 8.0)])], zero=True)
    axes = Axes.over([0, 100], [0.0, 0.0, 8.0], False)
    ticks = re.findall(r'<text x="40" y="([\d.]+)" text-anchor="end">([^<]+)</text>', svg)
    assert [text for _, text in ticks] == ["0", "5"] or len(ticks) >= 3
    for y, text in ticks:
        assert float(y) - 3.5 == pytest.approx(axes.y(float(text)), abs=0.06)


def test_long_runs_are_averaged_not_skipped():
    points = [(float(i), math.sin(i)) for i in range(5000)]
    thin = curves.thinned(points)
    assert len(thin) <= curves.POINTS
    assert thin[0] == points[0]
    assert thin[-1] == points[-1]
    group = points[1:18]
    assert thin[1] == pytest.approx((sum(x for x, _ in group) / 17, sum(y for _, y in group) / 17))


def test_verdicts_are_joined_into_stretches():
    rows = [(0.0, "warming up"), (10.0, "warming up"), (20.0, "learning"), (30.0, "learning"), (40.0, "full collapse")]
    assert curves.stretches(rows) == [(0.0, 20.0, "warming up"), (20.0, 40.0, "learning"), (40.0, 40.0, "full collapse")]
    assert [curves.kind(v) for v in ("learning", "full collapse", "not learning", "warming up", "?")] == [
        "good",
        "bad",
        "warn",
        "calm",
        "calm",
    ]


def test_numbers_and_text_are_readable():
    assert [number(x) for x in (0.0, 0.1234567, 12.345, 123.4, 12345.6, 1e-5, 2.5e-7, None, math.nan)] == [
        "0", "0.123", "12.3", "123", "12,346", "1e-5", "2.5e-7", "–", "–",
    ]  # fmt: skip
    assert safe("a\nb<c>\udcff é 日") == "a\\nb&lt;c&gt;\\udcff é 日"


# ---- probes


def probe_result() -> dict:
    def row(method: str, accuracy: float, gains: dict) -> dict:
        return {
            "label": "class", "probe": "knn", "method": method, "accuracy": accuracy, "low": accuracy - 0.02, "high": accuracy + 0.02, "sd": None,
            "gains": gains, "per_class": {"cat": [0.61, 90], "dog": [0.47, 110]} if method == "encoder" else {}, "detail": {},
        }  # fmt: skip

    rows = [row("encoder", 0.534, {"untrained": [0.081, 0.06, 0.1]}), row("untrained", 0.453, {}), row("chance", 0.1, {})]
    data = {"path": "photos", "fingerprint": "x", "samples": 1000}
    return {
        "format": 1, "run": "runs/a", "step": 4, "objective": "JEPA", "data": data, "test": data | {"held_out": True}, "settings": {}, "rows": rows,
        "warnings": [], "notes": ["a note"], "bad": [], "created": "2026-01-01T00:00:00Z", "seconds": 1.0,
    }  # fmt: skip


def test_a_probe_stands_beside_its_floors_with_its_interval(run):
    folder = run / "probes"
    folder.mkdir()
    (folder / "1.json").write_text(json.dumps(probe_result()))
    page = check(report.write(run).read_text("utf-8"))
    for words in (
        "53.4",
        "51.4 – 55.4",
        "untrained encoder45.3",
        "chance10.0",
        "+8.1 over untrained encoder",
        "dog47.0 of 110",
        "a fifth held out",
        "a note",
    ):
        assert words in page.text, words


def test_a_probe_file_cut_by_a_crash_is_named_and_hides_no_other(run):
    folder = run / "probes"
    folder.mkdir()
    (folder / "1.json").write_text(json.dumps(probe_result()))
    (folder / "2.json").write_text(json.dumps(probe_result())[:300])
    page = check(report.write(run).read_text("utf-8"))
    assert "2.json cannot be shown" in page.text
    assert "53.4" in page.text
