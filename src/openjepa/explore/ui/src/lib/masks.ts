// Masks that the server drew, as what lies on the screen.
import type { NdArray } from "./api";
import { plane } from "./plane";
import type { Screen } from "./types";

export type Spread = { mean: number; std: number };
export type Kind = { name: string; blocks: number; context: Spread; asked: Spread; block: Spread; twice: Spread; both: Spread; neither: Spread };
export type MasksMeta = { kinds: Kind[]; steps: number; step: number; seed: number; row: number; union: boolean; grid: number[]; python: string };

/** What a token is: seen, asked by a block (its number, from 0), both, or neither. */
export const SEEN = -1;
export const NEITHER = -2;

/** One part of an array along its first axes. */
export function take(array: NdArray, ...index: number[]): NdArray {
  const shape = array.shape.slice(index.length);
  const size = shape.reduce((product, length) => product * length, 1);
  const at = index.reduce((sum, i, axis) => sum * array.shape[axis] + i, 0);
  return { shape, data: array.data.subarray(at * size, (at + 1) * size) };
}

export type Tile = { cols: number; rows: number; cells: Int16Array; seen: number; asked: number };

/** Mask number `i` at time `t`: for every cell SEEN, NEITHER, or the block that asks for it; and shares of all tokens, of all time. */
export function tile(context: NdArray, targets: NdArray, i: number, screen: Screen, t = 0): Tile | null {
  const seen = plane(take(context, i), screen, t);
  if (!seen) return null;
  const cells = new Int16Array(seen.data.length).map((_, at) => (seen.data[at] ? SEEN : NEITHER));
  const blocks = targets.shape[1];
  for (let block = 0; block < blocks; block++) plane(take(targets, i, block), screen, t)?.data.forEach((value, at) => value && (cells[at] = block));
  const whole = take(context, i).data;
  let [known, asked] = [0, 0];
  for (let token = 0; token < whole.length; token++) {
    if (whole[token]) known++;
    for (let block = 0; block < blocks; block++)
      if (targets.data[(i * blocks + block) * whole.length + token]) {
        asked++;
        break;
      }
  }
  return { cols: seen.cols, rows: seen.rows, cells, seen: known / whole.length, asked: asked / whole.length };
}
