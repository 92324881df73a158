"""What one clip costs on its way to a view, on one core: decode, crop and resize; beside decoding the whole file with bare PyAV.

    python -m benchmarks.clips [FOLDER] [--size 16 224 224] [--fps 4] [--rounds 5]

Processor time, medians over rounds; in each round every file gives one clip at another place in time. "whole" decodes
all frames of a file at the clip's rate, "four" four clips of one file, "pyav" all its frames to RGB at their own size
and nothing else: what a reader without seeking pays for one clip. Without a folder the videos are made: H.264 with
B-frames and a keyframe every 250 frames (x264's default) or every 30. One JSON line per case.
"""

import argparse
import io
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import torch

from openjepa.data.manifest import scan
from openjepa.draws import uniform
from openjepa.engine import memory_mb
from openjepa.modalities.modality import BadSample
from openjepa.modalities.video import Video

FILES = 24  # of a folder that are measured, evenly chosen


def seconds(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def make(folder: Path, count: int, height: int, width: int, frames: int, gop: int) -> Path:
    """Videos of noise textures that drift, with a moving square: hard enough to encode that decoding takes its usual time."""
    import av

    folder.mkdir()
    rng = np.random.default_rng(0)
    for k in range(count):
        texture = rng.integers(0, 256, (height // 8 + 40, width // 8 + 40, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
        with av.open(str(folder / f"{k}.mp4"), "w") as out:
            stream = out.add_stream("libx264", rate=30, options={"crf": "23", "preset": "veryfast"})
            stream.height, stream.width, stream.pix_fmt, stream.codec_context.gop_size = height, width, "yuv420p", gop
            for i in range(frames):
                x = texture[i % 300 : i % 300 + height, 2 * i % 300 : 2 * i % 300 + width].copy()
                x[height // 3 : height // 2, 3 * i % (width // 2) : 3 * i % (width // 2) + width // 4] = (200, i % 256, 40)
                out.mux(stream.encode(av.VideoFrame.from_ndarray(x, "rgb24")))
            out.mux(stream.encode())
    return folder


def bare(data: bytes) -> int:
    """All frames by PyAV, to RGB."""
    import av

    with av.open(io.BytesIO(data)) as container:
        return sum(len(frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0))


def case(name: str, folder: Path, modality: Video, rounds: int) -> dict[str, object]:
    manifest = scan(folder, modality.kind, modality.suffixes, modality.folded)
    chosen = np.unique(np.linspace(0, len(manifest.rows) - 1, FILES).round().astype(int)).tolist()
    good = []
    for row in chosen:
        data = manifest.read(row)
        try:
            modality.decode(data, 0.5)
        except BadSample as error:
            print(json.dumps({"case": name, "bad": manifest.rows[row].name, "reason": str(error)}), flush=True)
            continue
        good.append(data)
    spent: dict[str, list[float]] = {stage: [] for stage in ("decode", "crop", "four", "whole", "pyav")}
    for step in range(rounds):
        ats = uniform(0, step, range(len(good)), 1, "time")[:, 0].tolist()
        clips: list[torch.Tensor] = []
        spent["decode"].append(seconds(lambda: clips.extend(modality.decode(d, at).pixels for d, at in zip(good, ats, strict=True))))  # noqa: B023
        spent["crop"].append(seconds(lambda: modality.augment(clips, 0, step, range(len(clips)))))  # noqa: B023
        if step == 0:
            spent["four"].append(seconds(lambda: [modality.clips(d, 4) for d in good]))
            spent["whole"].append(seconds(lambda: [modality.decode(d) for d in good]))
            spent["pyav"].append(seconds(lambda: [bare(d) for d in good if isinstance(d, bytes)]))
    each = {stage: median(times) / len(good) for stage, times in spent.items()}
    told: dict[str, object] = {"case": name, "files": len(good), "size": modality.size, "fps": modality.fps}
    told["ms"] = {stage: round(1000 * taken, 1) for stage, taken in each.items()}
    told["clips_per_s"] = {"decode": round(1 / each["decode"], 1), "decode_and_crop": round(1 / (each["decode"] + each["crop"]), 1)}
    return told | {"pyav_to_decode": round(each["pyav"] / each["decode"], 2), "peak_rss_mb": round(memory_mb(torch.device("cpu")))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, help="videos of your own in place of made ones")
    parser.add_argument("--size", type=int, nargs=3, default=(16, 224, 224), help="frames, height and width of a view")
    parser.add_argument("--fps", type=float, default=4.0, help="frames per second of a clip; 0 takes all frames")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--count", type=int, default=4, help="made videos per case")
    options = parser.parse_args()
    torch.set_num_threads(1)
    t, h, w = options.size
    modality = Video(size=(t, h, w), patch=(2 if t % 2 == 0 else 1, h // 8, w // 8), fps=options.fps or None)
    if options.folder:
        print(json.dumps(case(str(options.folder), options.folder, modality, options.rounds)))
        return
    with tempfile.TemporaryDirectory() as temporary:
        for name, height, width, frames, gop in (
            ("H.264 320 x 240, 10 s, a keyframe", 240, 320, 300, 250),
            ("H.264 640 x 360, 20 s, a keyframe every second", 360, 640, 600, 30),
            ("H.264 1280 x 720, 10 s, a keyframe every second", 720, 1280, 300, 30),
        ):
            folder = make(Path(temporary, str(gop + height)), options.count, height, width, frames, gop)
            print(json.dumps(case(name, folder, modality, options.rounds)), flush=True)


if __name__ == "__main__":
    main()
