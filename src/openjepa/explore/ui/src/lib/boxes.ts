// Geometry of blocks of tokens, in the run's own axes; `Rect` is the same block as it lies on the screen.
import type { Box, Screen } from "./types";

/** Tokens on the screen: x to the right, y downwards. */
export type Rect = { x: number; y: number; w: number; h: number };
export type Flat = { cols: number; rows: number };

const between = (value: number, low: number, high: number): number => Math.min(Math.max(value, low), high);

/** The same block inside the grid: at least one token, moved rather than cut where it fits. */
export function clip(box: Box, grid: number[]): Box {
  const size = grid.map((length, axis) => between(Math.round(box.size[axis] ?? 1), 1, length));
  const at = grid.map((length, axis) => between(Math.round(box.at[axis] ?? 0), 0, length - size[axis]));
  return { at, size };
}

export const same = (a: Box | null, b: Box | null): boolean =>
  a === b || (!!a && !!b && a.at.join() === b.at.join() && a.size.join() === b.size.join());

/** How many tokens two blocks share. */
export function overlap(a: Box, b: Box): number {
  return a.at.reduce((count, start, axis) => {
    const shared = Math.min(start + a.size[axis], b.at[axis] + b.size[axis]) - Math.max(start, b.at[axis]);
    return count * Math.max(shared, 0);
  }, 1);
}

export const volume = (box: Box): number => box.size.reduce((product, length) => product * length, 1);

/** Numbers of the tokens in a block, row-major. */
export function cells(box: Box, grid: number[]): number[] {
  let found = [0];
  grid.forEach((length, axis) => {
    const along = Array.from({ length: box.size[axis] }, (_, i) => box.at[axis] + i);
    found = found.flatMap((base) => along.map((i) => base * length + i));
  });
  return found;
}

/** 1 for each token in any of the blocks. */
export function mask(boxes: Box[], grid: number[]): Uint8Array {
  const found = new Uint8Array(grid.reduce((product, length) => product * length, 1));
  for (const box of boxes) for (const cell of cells(clip(box, grid), grid)) found[cell] = 1;
  return found;
}

export function flat(grid: number[], screen: Screen): Flat {
  return { cols: grid[screen.x], rows: screen.y === null ? 1 : grid[screen.y] };
}

export function toRect(box: Box, grid: number[], screen: Screen): Rect {
  const { rows } = flat(grid, screen);
  const h = screen.y === null ? 1 : box.size[screen.y];
  const from = screen.y === null ? 0 : box.at[screen.y];
  return { x: box.at[screen.x], y: screen.up ? rows - from - h : from, w: box.size[screen.x], h };
}

/** The block with the place and size it has on the screen; other axes (time) stay as in `like`. */
export function fromRect(rect: Rect, grid: number[], screen: Screen, like: Box): Box {
  const box = { at: [...like.at], size: [...like.size] };
  box.at[screen.x] = rect.x;
  box.size[screen.x] = rect.w;
  if (screen.y !== null) {
    box.at[screen.y] = screen.up ? grid[screen.y] - rect.y - rect.h : rect.y;
    box.size[screen.y] = rect.h;
  }
  return clip(box, grid);
}

/** Whole tokens, inside the picture. */
export function snap(rect: Rect, { cols, rows }: Flat): Rect {
  const w = between(Math.round(rect.w), 1, cols);
  const h = between(Math.round(rect.h), 1, rows);
  return { x: between(Math.round(rect.x), 0, cols - w), y: between(Math.round(rect.y), 0, rows - h), w, h };
}

export type Corner = "nw" | "ne" | "sw" | "se";

/** The rectangle whose corner was pulled by (dx, dy) tokens; the opposite corner stays. */
export function pull(rect: Rect, corner: Corner, dx: number, dy: number, { cols, rows }: Flat): Rect {
  let [left, top, right, bottom] = [rect.x, rect.y, rect.x + rect.w, rect.y + rect.h];
  if (corner.includes("w")) left = between(Math.round(left + dx), 0, right - 1);
  else right = between(Math.round(right + dx), left + 1, cols);
  if (corner.includes("n")) top = between(Math.round(top + dy), 0, bottom - 1);
  else bottom = between(Math.round(bottom + dy), top + 1, rows);
  return { x: left, y: top, w: right - left, h: bottom - top };
}

/** The rectangle with its middle on the token (x, y), as far as the picture allows. */
export const centred = (rect: Rect, x: number, y: number, size: Flat): Rect =>
  snap({ ...rect, x: x - Math.floor((rect.w - 1) / 2), y: y - Math.floor((rect.h - 1) / 2) }, size);

/** A block of about a quarter of each side, in the middle; axes off the screen (time) are covered whole. */
export function middle(grid: number[], screen: Screen, share = 0.3): Box {
  const size = grid.map((length, axis) => (axis === screen.x || axis === screen.y ? Math.max(1, Math.round(length * share)) : length));
  return { at: grid.map((length, axis) => Math.floor((length - size[axis]) / 2)), size };
}

/** A free place for one more block, or null: the first that overlaps nothing, seen from the top left. */
export function free(taken: Box[], size: number[], grid: number[]): Box | null {
  const places = size.map((length, axis) => grid[axis] - length + 1);
  const count = places.reduce((product, length) => product * Math.max(length, 0), 1);
  for (let index = 0; index < count; index++) {
    const at: number[] = [];
    let rest = index;
    for (let axis = size.length - 1; axis >= 0; axis--) {
      at[axis] = rest % places[axis];
      rest = Math.floor(rest / places[axis]);
    }
    const box = { at, size: [...size] };
    if (taken.every((other) => overlap(box, other) === 0)) return box;
  }
  return null;
}
