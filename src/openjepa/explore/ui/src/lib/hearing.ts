// What boxes of a spectrogram mean, boxes by simple rules, and the server's WAV files.
import type { Box } from "./types";

/** Token i of time is seconds[i] to seconds[i + 1], row j of bands hz[j] to hz[j + 1]. */
export type Axes = { seconds: number[]; hz: number[]; rate: number; python: string };
export type Rule = "time" | "frequency" | "random";

const hertz = (value: number): string => (value < 1000 ? `${Math.round(value / 10) * 10 || Math.round(value)}` : `${Math.round(value / 50) * 50}`);

/** "0.24 s to 0.48 s, 300 to 800 Hz". */
export function caption(box: Box, axes: Axes): string {
  const [from, to] = [axes.seconds[box.at[0]], axes.seconds[box.at[0] + box.size[0]]];
  const [low, high] = [axes.hz[box.at[1]], axes.hz[box.at[1] + box.size[1]]];
  return `${from.toFixed(2)} s to ${to.toFixed(2)} s, ${hertz(low)} to ${hertz(high)} Hz`;
}

/** Boxes on a grid (time, band): a stretch of time over all bands, bands over all of time, or up to three of any kind; `random` gives 0 to 1. */
export function ruled(rule: Rule, grid: number[], random: () => number): Box[] {
  const [times, bands] = grid;
  const one = (length: number, share: number): [number, number] => {
    const size = Math.min(length, Math.max(1, Math.round(length * share)));
    return [Math.floor(random() * (length - size + 1)), size];
  };
  if (rule === "time") {
    const [at, size] = one(times, 0.25);
    return [{ at: [at, 0], size: [size, bands] }];
  }
  if (rule === "frequency") {
    const [at, size] = one(bands, 0.25);
    return [{ at: [0, at], size: [times, size] }];
  }
  const found: Box[] = [];
  for (let attempt = 0; attempt < 60 && found.length < 3; attempt++) {
    const [t, length] = one(times, 0.15 + 0.15 * random());
    const [f, height] = one(bands, 0.2 + 0.3 * random());
    const box = { at: [t, f], size: [length, height] };
    const apart = (other: Box): boolean => [0, 1].some((axis) => other.at[axis] >= box.at[axis] + box.size[axis] || box.at[axis] >= other.at[axis] + other.size[axis]);
    if (found.every(apart)) found.push(box);
  }
  return found;
}

export type Sound = { samples: Float32Array<ArrayBuffer>; rate: number; comment: string };

/** A mono WAV of 32-bit floats, as audio/render sends it. */
export function readWav(buffer: ArrayBuffer): Sound {
  const view = new DataView(buffer);
  const name = (at: number): string => String.fromCharCode(...new Uint8Array(buffer, at, 4));
  if (buffer.byteLength < 12 || name(0) !== "RIFF" || name(8) !== "WAVE") throw new Error("this is no WAV file");
  let [rate, comment] = [0, ""];
  for (let at = 12; at + 8 <= buffer.byteLength; ) {
    const [id, size] = [name(at), view.getUint32(at + 4, true)];
    const body = at + 8;
    if (id === "fmt ") {
      if (view.getUint16(body, true) !== 3 || view.getUint16(body + 2, true) !== 1) throw new Error("this WAV file is not of mono floats");
      rate = view.getUint32(body + 4, true);
    } else if (id === "LIST" && name(body) === "INFO" && name(body + 4) === "ICMT") {
      comment = new TextDecoder().decode(new Uint8Array(buffer, body + 12, view.getUint32(body + 8, true))).replace(/\0+$/, "");
    } else if (id === "data") {
      return { samples: new Float32Array(buffer.slice(body, body + size)), rate, comment };
    }
    at = body + size + (size % 2);
  }
  throw new Error("this WAV file has no samples");
}
