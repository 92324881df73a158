// What lies on the screen of a tensor over the run's grid: one frame, rows from top to bottom.
import type { NdArray } from "./safetensors";
import type { Screen } from "./types";

/** `channels` numbers for each of rows x cols cells, row-major. */
export type Plane = { cols: number; rows: number; channels: number; data: Float32Array };

/** The frame at time `t` of a tensor [*grid] or [*grid, channels]; `up` turns mel bins right way up. */
export function plane(array: NdArray | undefined, screen: Screen | null, t = 0): Plane | null {
  if (!array || !screen) return null;
  const axes = 1 + (screen.y === null ? 0 : 1) + (screen.t === null ? 0 : 1);
  if (array.shape.length < axes) return null; // of a run with another grid, which was on screen a moment ago
  const channels = array.shape.length > axes ? array.shape[axes] : 1;
  const strides: number[] = [];
  for (let axis = axes - 1, step = channels; axis >= 0; axis--) {
    strides[axis] = step;
    step *= array.shape[axis];
  }
  const cols = array.shape[screen.x];
  const rows = screen.y === null ? 1 : array.shape[screen.y];
  const base = screen.t === null ? 0 : Math.min(Math.max(t, 0), array.shape[screen.t] - 1) * strides[screen.t];
  const data = new Float32Array(cols * rows * channels);
  let to = 0;
  for (let row = 0; row < rows; row++) {
    const y = screen.up ? rows - 1 - row : row;
    for (let col = 0; col < cols; col++) {
      const from = base + col * strides[screen.x] + (screen.y === null ? 0 : y * strides[screen.y]);
      for (let c = 0; c < channels; c++) data[to++] = Number(array.data[from + c]);
    }
  }
  return { cols, rows, channels, data };
}

/** Smallest and largest finite number, or null when there is none. */
export function range(values: ArrayLike<number>): [number, number] | null {
  let [low, high] = [Infinity, -Infinity];
  for (let i = 0; i < values.length; i++) {
    const value = values[i];
    if (!Number.isFinite(value)) continue;
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return low <= high ? [low, high] : null;
}

/** One frame of a u8[t, h, w, 3] video as a picture. */
export type Picture = { w: number; h: number; data: Uint8Array };

export function picture(frames: NdArray | undefined, t = 0): Picture | null {
  if (!frames) return null;
  const [count, h, w] = frames.shape.length === 4 ? frames.shape : [1, ...frames.shape];
  const size = h * w * 3;
  const frame = Math.min(Math.max(Math.round(t), 0), count - 1);
  return { w, h, data: (frames.data as Uint8Array).subarray(frame * size, (frame + 1) * size) };
}
