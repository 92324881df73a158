"""The server from outside: what it answers, what it refuses, and that it stays up."""

import io
import json
import shlex
import shutil
import socket
import struct
import threading
import time

import numpy as np
import pytest
import torch
from PIL import Image as Picture
from safetensors.torch import load
from starlette.testclient import TestClient

from openjepa.checkpoint import load_encoder
from openjepa.cli.main import main
from openjepa.explore import server
from openjepa.explore.door import COOKIE, Door
from openjepa.explore.explorer import Explorer
from openjepa.explore.inputs import Uploads
from openjepa.explore.question import Box
from openjepa.explore.routes import Problem
from openjepa.explore.shelf import Shelf, below
from openjepa.explore.worker import Worker

HOLE = {"at": [0, 1], "size": [2, 2]}
ASKED = {"run": "blocks", "input": "data:3", "targets": [HOLE]}


def meta(response):
    size = struct.unpack("<Q", response.content[:8])[0]
    return json.loads(json.loads(response.content[8 : 8 + size])["__metadata__"]["json"])


def png(size=(40, 30)):
    buffer = io.BytesIO()
    Picture.fromarray(np.random.default_rng(0).integers(0, 255, (*size, 3), dtype=np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def fill(client):
    while not client.post("bank/grow", json={"run": "blocks"}).json()["full"]:
        pass


def test_the_runs_and_what_each_can_show(client, runs, capsys):
    found = {run["id"]: run for run in client.get("runs").json()["runs"]}
    assert set(found) == {"blocks", "deep~union", "pixels"}
    blocks = found["blocks"]
    assert (blocks["objective"], blocks["grid"], blocks["checkpoints"], blocks["pair"]) == ("JEPA", [4, 6], [5, 10], "pixels")
    assert blocks["params"] == sum(p.numel() for p in load_encoder(runs / "blocks").encoder.state_dict().values())
    assert blocks["screen"] == {"x": 1, "y": 0, "t": None, "up": False}
    can = {c["panel"]: c for c in blocks["capabilities"]}
    assert can["jepa"]["ok"] and not can["video"]["ok"] and "images" in can["video"]["why"]
    words = shlex.split(can["mae"]["fix"])
    assert not can["mae"]["ok"] and words[:3] == ["openjepa", "train", "image.mae_cifar10"]
    assert main([*words[1:], "--print-config"]) == 0  # a command that the page shows is one that works
    assert "modality.size" in capsys.readouterr().out
    assert found["pixels"]["pair"] in ("blocks", "deep~union") and found["deep~union"]["union"]


def test_an_answer_holds_the_librarys_numbers(client, runs):
    """And so does the program that "python" says."""
    fill(client)
    response = client.post("jepa/predict", json=ASKED)
    ours = Explorer(runs / "blocks").jepa("data:3", [Box((0, 1), (2, 2))])
    tensors = load(response.content)
    for name in ("energy", "skill", "pca_true", "pca_guess", "resid", "land", "context"):
        assert torch.equal(tensors[name].nan_to_num(-1), getattr(ours, name).nan_to_num(-1)), name
    said = meta(response)
    assert said["total"]["energy"] == ours.total.energy and said["total"]["mean"] == ours.total.mean
    assert said["total"]["rank_bank"] == list(ours.total.rank_bank) and said["land_min"] == list(ours.land_min)
    place: dict = {}
    exec(said["python"], place)
    assert place["found"].total == ours.total


def test_every_panels_python_runs(client):
    for path, body in (
        ("jepa/neighbours", ASKED | {"k": 2}),
        ("jepa/decode", ASKED),
        ("jepa/noise", ASKED | {"kind": "shuffle"}),
        ("mae/predict", {"run": "pixels", "input": "data:1", "ratio": 0.5}),
        ("mae/predict", {"run": "pixels", "input": "data:1", "targets": [HOLE]}),
        ("jepa/predict", ASKED | {"context": {"at": [1, 1], "size": [3, 4]}, "mode": "peek", "step": 5}),
    ):
        response = client.post(path, json=body)
        assert response.status_code == 200, response.text
        said = meta(response) if response.headers["content-type"].endswith("safetensors") else response.json()
        place: dict = {}
        exec(said["python"], place)
        assert place["found"] is not None


def test_a_sweep_is_every_placement_nearest_first(client):
    fill(client)
    with client.stream("POST", "jepa/sweep", json=ASKED | {"size": [2, 2], "start": [1, 1]}) as response:
        data = b"".join(response.iter_bytes())
    seen = []
    while data:
        (size,) = struct.unpack("<I", data[:4])
        part, data = data[4 : 4 + size], data[4 + size :]
        header = struct.unpack("<Q", part[:8])[0]
        said = json.loads(json.loads(part[8 : 8 + header])["__metadata__"]["json"])
        seen.append((tuple(said["at"]), said["index"], said["count"], load(part)["energy"]))
    assert seen[0][0] == (1, 1) and len({at for at, *_ in seen}) == 15 == seen[0][2]
    one = load(client.post("jepa/predict", json=ASKED | {"targets": [{"at": list(seen[7][0]), "size": [2, 2]}]}).content)
    assert torch.equal(one["energy"].nan_to_num(), seen[7][3].nan_to_num())


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (ASKED | {"run": "../blocks"}, 404, "no run"),
        (ASKED | {"run": "nothing"}, 404, "no run"),
        (ASKED | {"input": "data:99"}, 404, "data:0 to data:11"),
        (ASKED | {"input": "/etc/passwd"}, 404, "no input"),
        (ASKED | {"input": "upload:abc"}, 404, "no upload"),
        (ASKED | {"step": 7}, 422, "has no checkpoint of step 7"),
        (ASKED | {"targets": [{"at": [9, 0], "size": [1, 1]}]}, 422, "leaves the grid"),
        (ASKED | {"targets": [{"at": [0, 0], "size": [1, 1.5]}]}, 422, "no whole number"),
        (ASKED | {"targets": []}, 422, "0 holes"),
        (ASKED | {"mode": "cheat"}, 422, "cheat"),
        (ASKED | {"colour": "red"}, 422, "colour"),
        ({"run": "blocks"}, 422, "input"),
        (ASKED | {"run": "pixels"}, 422, "predicts pixels"),
        ([], 422, "JSON object"),
    ],
)
def test_a_wrong_question_is_told_what_is_wrong(client, body, status, said):
    response = client.post("jepa/predict", json=body)
    assert response.status_code == status and response.headers["content-type"] == "application/problem+json"
    assert said in json.dumps(response.json())
    assert client.get("meta").status_code == 200


def test_a_body_of_another_kind_or_size_is_refused(client):
    assert client.post("jepa/predict", content=json.dumps(ASKED), headers={"content-type": "text/plain"}).status_code == 415
    assert client.post("jepa/predict", content=b"{", headers={"content-type": "application/json"}).status_code == 422
    big = json.dumps(ASKED | {"input": "x" * 2**21})
    assert client.post("jepa/predict", content=big, headers={"content-type": "application/json"}).status_code == 413


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "evil.com"}, 403),
        ({"host": "127.0.0.1.evil.com:80"}, 403),
        ({"host": ""}, 403),
        ({"origin": "http://evil.com"}, 403),
        ({"origin": "null"}, 403),
        ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "cors"}, 403),
        ({"host": "localhost:8642"}, 200),
        ({"host": "[::1]:8642"}, 200),
        ({"origin": "http://127.0.0.1"}, 200),
    ],
)
def test_pages_of_others_are_turned_away(client, headers, status):
    response = client.get("meta", headers=headers)
    assert response.status_code == status
    assert "default-src 'self'" in response.headers["content-security-policy"]
    assert "access-control-allow-origin" not in response.headers


def test_a_proxys_name_is_let_in_when_it_is_named(runs):
    with TestClient(server.build(Shelf([runs], bundled=False), Door(names=("hub.lab",))), base_url="http://hub.lab/api/v1/") as client:
        assert client.get("meta").status_code == 200
        assert client.get("meta", headers={"host": "other.lab"}).status_code == 403


def test_bound_elsewhere_the_token_is_asked_for(runs):
    with TestClient(server.build(Shelf([runs], bundled=False), Door("secret")), base_url="http://10.0.0.7:8642/") as client:
        assert client.get("api/v1/meta").status_code == 401
        assert client.get("api/v1/meta?token=wrong").status_code == 401
        first = client.get("api/v1/meta?token=secret")
        assert first.status_code == 200 and "HttpOnly" in first.headers["set-cookie"] and "SameSite=Strict" in first.headers["set-cookie"]
        assert client.cookies.get(COOKIE) == "secret"
        assert client.get("api/v1/meta").status_code == 200


def test_a_file_that_was_dropped_is_shown_and_predicted(client, runs):
    found = client.post("runs/blocks/inputs", content=png(), headers={"x-name": "my%20cat.png"}).json()
    assert found["name"] == "my cat.png" and found["source"] == "upload"
    listed = client.get("runs/deep~union/inputs?limit=3").json()
    assert listed["items"][0] == found and listed["total"] == 13  # shared by runs of its kind
    assert client.get("runs/blocks/inputs?offset=12&limit=5").json()["items"][0]["id"] == "data:11"
    assert client.post("jepa/predict", json=ASKED | {"input": found["id"]}).status_code == 200
    thumb = client.get(f"runs/blocks/inputs/{found['id']}/thumb")
    assert thumb.headers["content-type"] == "image/png" and Picture.open(io.BytesIO(thumb.content)).size == (48, 32)
    frames = load(client.get(f"runs/blocks/inputs/{found['id']}/view").content)["frames"]
    assert torch.equal(frames[0], Explorer(runs / "blocks", inputs=None).modality.center([decoded()])[0].permute(1, 2, 0))


def decoded():
    return torch.from_numpy(np.asarray(Picture.open(io.BytesIO(png())))).permute(2, 0, 1)


def huge():
    """A header that promises 100 megapixels."""
    buffer = io.BytesIO()
    Picture.new("1", (10_000, 10_000)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("data", "status", "said"),
    [
        (b"", 422, "empty"),
        (b"no picture at all", 422, "not an image"),
        (png()[:300], 422, ""),
        (huge(), 413, "pixels"),
        (png((3, 3)), 422, "too small"),
    ],
    ids=["empty", "text", "truncated", "huge", "tiny"],
)
def test_a_file_that_cannot_be_used_says_why(client, data, status, said):
    response = client.post("runs/blocks/inputs", content=data, headers={"x-name": "it.png"})
    assert response.status_code == status and said in response.json()["detail"]
    assert response.json()["hint"]


def test_a_body_that_is_too_large_ends_at_once(client, monkeypatch):
    monkeypatch.setattr(server, "LARGEST", 1000)
    assert client.post("runs/blocks/inputs", content=b"x" * 2000, headers={"x-name": "a"}).status_code == 413
    assert client.post("runs/blocks/inputs", content=(b"x" * 500 for _ in range(9)), headers={"x-name": "a"}).status_code == 413
    assert client.post("runs/blocks/inputs", content=b"x").status_code == 422  # without the header


def test_old_uploads_make_room():
    uploads = Uploads(most=3 * len(png()) - 1)
    from tests.tiny import RUN

    for i in range(4):
        uploads.add(png((40, 30 + i)), f"{i}", RUN.modality)
    assert [file.name for file in uploads.of("images")] == ["3", "2"] and uploads.of("videos") == []


def test_no_file_outside_is_served(client):
    for path in (
        "../../../../etc/passwd",
        "%2e%2e/%2e%2e/pyproject.toml",
        "runs/..%2f..%2fetc/inputs",
        "runs/blocks/inputs/..%2frun.json/thumb",
    ):
        assert client.get(path).status_code in (404, 503)


def test_a_newer_question_makes_those_that_wait_void():
    worker, gate, did = Worker(1), threading.Event(), []
    running = worker.do("tab/jepa", 1, gate.wait)
    worker.asked("tab/jepa", 1)
    for number in (2, 3, 4):
        worker.asked("tab/jepa", number)
    waiting = [worker.do("tab/jepa", number, lambda number=number: did.append(number)) for number in (2, 3, 4)]
    other = worker.do("tab/mae", 1, lambda: did.append("mae"))
    gate.set()
    assert running.result(5) is True and other.result(5) is None
    for future in waiting[:2]:
        with pytest.raises(Problem, match="newer"):
            future.result(5)
    assert waiting[2].result(5) is None and did == [4, "mae"]


def test_a_mistake_of_ours_ends_one_request_and_nothing_else(client, monkeypatch, capsys):
    def broken(*_args, **_kwargs):
        raise RuntimeError("a mistake")

    monkeypatch.setattr(Explorer, "jepa", broken)
    response = client.post("jepa/predict", json=ASKED)
    assert response.status_code == 500 and "RuntimeError: a mistake" in response.json()["detail"]
    assert "Traceback" in capsys.readouterr().err
    monkeypatch.undo()
    assert client.post("jepa/predict", json=ASKED).status_code == 200


def test_a_run_replaced_by_another_of_its_name_is_opened_anew(runs, tmp_path):
    """Its weights and its inputs: nothing of the old one is shown."""
    shutil.copytree(runs / "blocks", tmp_path / "a")
    with TestClient(server.build(Shelf([tmp_path], bundled=False), Door()), base_url="http://127.0.0.1/api/v1/") as client:
        before = meta(client.post("jepa/predict", json=ASKED | {"run": "a"}))["loss"]
        shutil.rmtree(tmp_path / "a")
        assert client.post("jepa/predict", json=ASKED | {"run": "a"}).status_code == 404
        shutil.copytree(runs / "deep/union", tmp_path / "a")
        info = json.loads((tmp_path / "a/run.json").read_text())
        (tmp_path / "a/run.json").write_text(json.dumps(info | {"created": "later"}))
        assert meta(client.post("jepa/predict", json=ASKED | {"run": "a"}))["loss"] != before


def test_stopping_a_training_does_not_wait_for_the_models(client, monkeypatch):
    """Nor do the models wait for it, which may save for seconds."""
    gate, in_it = threading.Event(), threading.Event()

    def slow(*_args, **_kwargs):
        in_it.set()
        gate.wait(20)
        raise ValueError("late")

    monkeypatch.setattr(Explorer, "jepa", slow)
    asking = threading.Thread(target=client.post, args=("jepa/predict",), kwargs={"json": ASKED})
    asking.start()
    try:
        assert in_it.wait(10)
        assert client.post("live/stop", json={}).json()["state"] == "idle"
        assert asking.is_alive()
    finally:
        gate.set()
        asking.join()


def test_folders_are_looked_through_for_names_that_are_new_or_gone_alone(runs, tmp_path, monkeypatch):
    shutil.copytree(runs / "blocks", tmp_path / "a")
    shelf, looked = Shelf([tmp_path], bundled=False), []
    monkeypatch.setattr("openjepa.explore.shelf.below", lambda root, depth: looked.append(root) or below(root, depth))
    for _ in range(3):
        assert shelf.run("a").folder == tmp_path / "a"
    assert looked.count(tmp_path) == 1
    shutil.copytree(runs / "pixels", tmp_path / "b")
    assert shelf.run("b").folder == tmp_path / "b"
    shutil.rmtree(tmp_path / "a")
    with pytest.raises(LookupError, match="moved or deleted"):
        shelf.run("a")
    assert looked.count(tmp_path) == 3


def test_gradients_are_off_in_the_worker():
    assert Worker(1).do("", 0, torch.is_grad_enabled).result(5) is False


def test_the_page_says_how_to_build_itself(client, tmp_path):
    from starlette.applications import Starlette
    from starlette.routing import Mount

    from openjepa.explore.pages import Pages

    pages = Pages(tmp_path)
    with TestClient(Starlette(routes=[Mount("/", pages)])) as page:
        missing = page.get("/")
        assert missing.status_code == 503 and "run build" in missing.text
        (tmp_path / "index.html").write_text("<p>built")
        assert page.get("/").text == "<p>built"  # while the server stays up


def test_a_taken_port_is_passed_over_unless_it_was_asked_for():
    first = server.listen("127.0.0.1", None)
    second = server.listen("127.0.0.1", None)
    port = first.getsockname()[1]
    assert second.getsockname()[1] > port
    with pytest.raises(OSError, match=f"port {port}"):
        server.listen("127.0.0.1", port)
    first.close()
    second.close()


def test_a_real_socket_answers_without_nagles_delay(runs):
    """asyncio turns it off only where the protocol is named; with it every answer takes 40 ms more."""
    import http.client

    import uvicorn

    sock = server.listen("127.0.0.1", 0)
    assert sock.proto == socket.IPPROTO_TCP
    app = server.build(Shelf([runs], bundled=False), Door())
    running = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
    thread = threading.Thread(target=running.run, args=([sock],), daemon=True)
    thread.start()
    try:
        connection = http.client.HTTPConnection("127.0.0.1", sock.getsockname()[1])
        for _ in range(50):
            if running.started:
                break
            time.sleep(0.1)
        connection.request("GET", "/api/v1/meta")
        assert json.loads(connection.getresponse().read())["read_only"] is True
    finally:
        running.should_exit = True
        thread.join(10)
    assert not thread.is_alive()
