"""How many times faster than it sounds: filter bank, resampling, decoding, whole views; beside kaldi-native-fbank and soxr.

    python -m benchmarks.fbank [--rounds 5] [--seconds 10] [--data sounds]

Processor time of one thread, medians; ours and theirs take turns, so that a busy machine slows both and their ratio is
what counts. What is not installed is left out. One JSON line per case.
"""

import argparse
import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from benchmarks.decoding import turns
from openjepa.data.worlds.soundscape import Soundscape
from openjepa.modalities.audio import Audio
from openjepa.modalities.fbank import fbank
from openjepa.modalities.resample import bank, resample

RATE, BANDS, CLIPS = 16_000, 128, 8


def kaldi(waves: torch.Tensor) -> Callable[[], object] | None:
    try:
        import kaldi_native_fbank
    except ImportError:
        return None
    options = kaldi_native_fbank.FbankOptions()
    options.frame_opts.samp_freq, options.frame_opts.dither, options.frame_opts.window_type = RATE, 0, "hanning"
    options.mel_opts.num_bins = 80  # it refuses 128 at this rate: one of them is empty
    options.use_energy, options.energy_floor, options.htk_compat = False, 0, True

    def work() -> None:
        for wave in waves.numpy():
            stream = kaldi_native_fbank.OnlineFbank(options)
            stream.accept_waveform(RATE, wave)
            stream.input_finished()
            np.stack([stream.get_frame(i) for i in range(stream.num_frames_ready)])

    return work


def soxr(wave: np.ndarray, source: int) -> Callable[[], object] | None:
    try:
        import soxr as library
    except ImportError:
        return None
    return lambda: library.resample(wave, source, RATE, quality="VHQ")


def encoded(wave: np.ndarray, kind: str, subtype: str) -> bytes:
    import soundfile

    buffer = io.BytesIO()
    with soundfile.SoundFile(buffer, "w", RATE, 1, format=kind, subtype=subtype) as file:
        for start in range(0, len(wave), RATE):
            file.write(wave[start : start + RATE])
    return buffer.getvalue()


def show(
    case: str, heard: float, rounds: int, ours: Callable[[], object], theirs: Callable[[], object] | None = None, name: str = ""
) -> None:
    """`heard` seconds of sound per call."""
    taken = turns(rounds, ours, *([theirs] if theirs else []))
    told: dict[str, object] = {"case": case, "times_real_time": round(heard / taken[0])}
    if theirs:
        told |= {name: round(heard / taken[1]), "ratio": round(taken[1] / taken[0], 2)}
    print(json.dumps(told), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=10.0, help="of a made sound")
    parser.add_argument("--data", help="a folder of sounds of your own")
    options = parser.parse_args()
    torch.set_num_threads(1)
    count, rounds = int(options.seconds * RATE), options.rounds
    waves = torch.from_numpy(np.random.default_rng(0).normal(0, 0.1, (CLIPS, count)).astype(np.float32)).clamp(-1, 1)
    heard = CLIPS * options.seconds
    show("fbank, 128 bands", heard, rounds, lambda: fbank(waves, RATE, BANDS))
    show("fbank, 80 bands", heard, rounds, lambda: fbank(waves, RATE, 80), kaldi(waves), "kaldi_native_fbank")
    for source in (8_000, 44_100, 48_000):
        wave = np.random.default_rng(0).uniform(-0.5, 0.5, int(heard * source))
        filters = bank(source, RATE)
        ours = lambda wave=wave, filters=filters: resample([wave], filters, 0, 0, filters.length(len(wave)))  # noqa: E731
        show(f"resample {source} to {RATE}", heard, rounds, ours, soxr(wave, source), "soxr_vhq")
    frames = int(options.seconds * 100) // 16 * 16
    modality = Audio(size=(frames, BANDS), mean=-4.0, std=4.5)
    show("views", heard, rounds, lambda: modality.augment(waves[:, None], 0, 0, range(CLIPS)))
    for kind, subtype in (("WAV", "PCM_16"), ("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("MP3", "MPEG_LAYER_III"), ("OGG", "OPUS")):
        data = encoded(waves.flatten().numpy(), kind, subtype)
        show(f"decode {kind} {subtype}", heard, rounds, lambda data=data: modality.decode(data))
    if options.data:
        files = [path.read_bytes() for path in sorted(Path(options.data).rglob("*")) if path.suffix.lower() in Audio.suffixes][:200]
        samples = [modality.decode(data).pixels for data in files]
        heard = sum(sample.shape[1] for sample in samples) / RATE
        show(f"decode {len(files)} files of {options.data}", heard, rounds, lambda: [modality.decode(data) for data in files])
        show("their views", heard, rounds, lambda: modality.augment(samples, 0, 0, range(len(samples))))
    world = Soundscape(count=128)
    show("soundscape, made", 128 * world.seconds, rounds, lambda: world.read(range(128)))


if __name__ == "__main__":
    main()
