// Time in clips: frames are pictures, steps are the model's time steps (tubelets), the clock counts frames with fractions.
import type { NdArray } from "./safetensors";
import type { Box } from "./types";

export type Span = { from: number; to: number }; // half open
export type Hide = "tube" | "future" | "both" | "next";

const between = (value: number, low: number, high: number): number => Math.min(Math.max(value, low), high);

/** The time step that holds a frame. */
export const stepOf = (frame: number, frames: number, steps: number): number => between(Math.floor((Math.floor(frame) * steps) / frames), 0, steps - 1);

/** The first frame of a time step. */
export const frameOf = (step: number, frames: number, steps: number): number => Math.floor((step * frames) / steps);

/** The clock after `seconds` at `rate` frames a second; without a loop it stops on the last frame, or the first when going back. */
export function advance(clock: number, seconds: number, rate: number, frames: number, loop: boolean): { clock: number; ended: boolean } {
  const next = clock + seconds * rate;
  if (loop) return { clock: ((next % frames) + frames) % frames, ended: false };
  if (next >= frames) return { clock: frames - 1, ended: true };
  return next < 0 ? { clock: 0, ended: true } : { clock: next, ended: false };
}

/** The first frame of the time step `by` steps away; back goes to the beginning of this step first. */
export function stride(clock: number, by: number, frames: number, steps: number): number {
  const here = stepOf(clock, frames, steps);
  const inside = Math.floor(clock) > frameOf(here, frames, steps);
  return frameOf(between(here + by + (by < 0 && inside ? 1 : 0), 0, steps - 1), frames, steps);
}

/** What is hidden: the tube, all from `from` on, or the tube as far as it lies before that and the rest. */
export function hidden(hide: Hide, tube: Box, from: number, grid: number[]): Box[] {
  const start = between(from, 1, grid[0] - 1);
  const future: Box = { at: [start, 0, 0], size: [grid[0] - start, grid[1], grid[2]] };
  if (hide === "tube") return [tube];
  if (hide !== "both" || tube.at[0] >= start) return [future];
  const end = Math.min(tube.at[0] + tube.size[0], start);
  return [{ at: [...tube.at], size: [end - tube.at[0], tube.size[1], tube.size[2]] }, future];
}

/** Mean over the finite numbers of each time step of a map [t, ...]; NaN where there are none. */
export function course(map: NdArray | undefined): Float32Array {
  if (!map) return new Float32Array(0);
  const [steps] = map.shape;
  const each = map.data.length / steps;
  return Float32Array.from({ length: steps }, (_, step) => {
    let [sum, count] = [0, 0];
    for (let i = step * each; i < (step + 1) * each; i++) {
      const value = Number(map.data[i]);
      if (Number.isFinite(value)) {
        sum += value;
        count++;
      }
    }
    return count ? sum / count : NaN;
  });
}

/** Numbers in a row as spans: 2, 3, 4, 7 is 2 to 5 and 7 to 8. */
export function spans(numbers: number[]): Span[] {
  const found: Span[] = [];
  for (const number of numbers) {
    const last = found.at(-1);
    if (last && last.to === number) last.to++;
    else found.push({ from: number, to: number + 1 });
  }
  return found;
}

/** A span with one end moved to `to`, at least one long and inside 0..length. */
export const pulled = (span: Span, end: "from" | "to", to: number, length: number): Span =>
  end === "from" ? { from: between(Math.round(to), 0, span.to - 1), to: span.to } : { from: span.from, to: between(Math.round(to), span.from + 1, length) };

/** A line through the middles of steps, in a box of `width` x `height`; it breaks where there is no number. */
export function line(values: ArrayLike<number>, low: number, high: number, width: number, height: number): string {
  let path = "";
  let down = false;
  for (let i = 0; i < values.length; i++) {
    if (!Number.isFinite(values[i])) {
      down = false;
      continue;
    }
    const x = ((i + 0.5) / values.length) * width;
    const y = height * (1 - (values[i] - low) / (high - low || 1));
    path += `${down ? "L" : "M"}${Number(x.toFixed(2))} ${Number(y.toFixed(2))}`;
    // a lone point would be invisible
    if (!down && !Number.isFinite(values[i + 1])) path += "h0.01";
    down = true;
  }
  return path;
}

/** A mask [*grid] as few boxes: each is grown along the last axis, then the one before, as far as it is all ones. */
export function rectangles(mask: ArrayLike<number>, grid: number[]): Box[] {
  const left = Uint8Array.from(mask);
  const strides = grid.map((_, axis) => grid.slice(axis + 1).reduce((product, length) => product * length, 1));
  const found: Box[] = [];
  for (let index = 0; index < left.length; index++) {
    if (!left[index]) continue;
    const at = grid.map((length, axis) => Math.floor(index / strides[axis]) % length);
    const size = grid.map(() => 1);
    for (let axis = grid.length - 1; axis >= 0; axis--) {
      while (at[axis] + size[axis] < grid[axis]) {
        const more = inside({ at: at.map((a, i) => (i === axis ? a + size[i] : a)), size: size.map((s, i) => (i === axis ? 1 : s)) }, strides);
        if (!more.every((cell) => left[cell])) break;
        size[axis]++;
      }
    }
    for (const cell of inside({ at, size }, strides)) left[cell] = 0;
    found.push({ at, size });
  }
  return found;
}

function inside(box: Box, strides: number[]): number[] {
  let cells = [0];
  box.at.forEach((at, axis) => {
    cells = cells.flatMap((base) => Array.from({ length: box.size[axis] }, (_, i) => base + (at + i) * strides[axis]));
  });
  return cells;
}
