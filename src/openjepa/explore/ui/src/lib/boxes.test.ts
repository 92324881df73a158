import { describe, expect, it } from "vitest";
import { cells, centred, clip, flat, free, fromRect, mask, middle, overlap, pull, snap, toRect, volume, type Corner } from "./boxes";
import type { Box, Screen } from "./types";

const IMAGE: Screen = { x: 1, y: 0, t: null, up: false };
const VIDEO: Screen = { x: 2, y: 1, t: 0, up: false };
const SOUND: Screen = { x: 0, y: 1, t: null, up: true };
const CASES: [string, number[], Screen][] = [
  ["an image", [5, 7], IMAGE],
  ["a video", [3, 5, 7], VIDEO],
  ["a sound", [11, 7], SOUND],
  ["one axis", [13], { x: 0, y: null, t: null, up: false }],
];
const all = (grid: number[]): Box[] => {
  let found: Box[] = [{ at: [], size: [] }];
  for (const length of grid) {
    const spans = Array.from({ length }, (_, at) => Array.from({ length: length - at }, (_, i) => [at, i + 1])).flat();
    found = found.flatMap((box) => spans.map(([at, size]) => ({ at: [...box.at, at], size: [...box.size, size] })));
  }
  return found;
};

describe("blocks", () => {
  it("count the same tokens in two ways", () => {
    const grid = [3, 5];
    for (const box of all(grid)) {
      const slow = [...Array(15).keys()].filter((token) => {
        const [row, col] = [Math.floor(token / 5), token % 5];
        return row >= box.at[0] && row < box.at[0] + box.size[0] && col >= box.at[1] && col < box.at[1] + box.size[1];
      });
      expect(cells(box, grid)).toEqual(slow);
      expect(volume(box)).toBe(slow.length);
      expect([...mask([box], grid)].reduce((sum, value) => sum + value, 0)).toBe(slow.length);
    }
  });

  it("share as many tokens as their lists do", () => {
    const grid = [3, 4];
    const boxes = all(grid);
    for (const a of boxes) for (const b of boxes) expect(overlap(a, b)).toBe(cells(a, grid).filter((token) => cells(b, grid).includes(token)).length);
  });

  it.each(CASES)("lie on the screen and come back: %s", (_, grid, screen) => {
    const { cols, rows } = flat(grid, screen);
    for (const box of all(grid)) {
      const rect = toRect(box, grid, screen);
      expect(rect.x >= 0 && rect.y >= 0 && rect.x + rect.w <= cols && rect.y + rect.h <= rows).toBe(true);
      expect(fromRect(rect, grid, screen, box)).toEqual(box);
    }
  });

  it("of sounds grow upwards", () => {
    expect(toRect({ at: [2, 0], size: [1, 2] }, [11, 7], SOUND)).toEqual({ x: 2, y: 5, w: 1, h: 2 });
  });

  it("are moved into the grid, and cut only when too large", () => {
    expect(clip({ at: [4, -3], size: [3, 2] }, [5, 7])).toEqual({ at: [2, 0], size: [3, 2] });
    expect(clip({ at: [0, 0], size: [99, 0] }, [5, 7])).toEqual({ at: [0, 0], size: [5, 1] });
    expect(snap({ x: 6.6, y: -1, w: 2, h: 2 }, { cols: 7, rows: 5 })).toEqual({ x: 5, y: 0, w: 2, h: 2 });
  });

  it("pulled at a corner keep the opposite one, at least one token, inside", () => {
    const size = { cols: 7, rows: 5 };
    const rect = { x: 2, y: 1, w: 3, h: 2 };
    for (const corner of ["nw", "ne", "sw", "se"] as Corner[])
      for (let dx = -9; dx < 10; dx++)
        for (let dy = -9; dy < 10; dy++) {
          const got = pull(rect, corner, dx, dy, size);
          expect(got.w >= 1 && got.h >= 1 && got.x >= 0 && got.y >= 0 && got.x + got.w <= 7 && got.y + got.h <= 5).toBe(true);
          if (corner.includes("w")) expect(got.x + got.w).toBe(5);
          else expect(got.x).toBe(2);
          if (corner.includes("n")) expect(got.y + got.h).toBe(3);
          else expect(got.y).toBe(1);
        }
  });

  it("are placed around the patch that was clicked", () => {
    const size = { cols: 7, rows: 5 };
    for (let w = 1; w < 7; w++)
      for (let x = 0; x < 7; x++) {
        const got = centred({ x: 0, y: 0, w, h: 1 }, x, 2, size);
        expect(got.x <= x && x < got.x + got.w).toBe(true);
      }
  });

  it("find a free place, or none", () => {
    const taken = [{ at: [0, 0], size: [2, 2] }];
    const found = free(taken, [2, 2], [4, 4]) as Box;
    expect(overlap(found, taken[0])).toBe(0);
    expect(free([{ at: [1, 1], size: [2, 2] }], [2, 2], [4, 4])).toBeNull();
    expect(free([], [5, 1], [4, 4])).toBeNull();
  });

  it("in the middle cover all of the time", () => {
    expect(middle([4, 10, 10], VIDEO, 0.3)).toEqual({ at: [0, 3, 3], size: [4, 3, 3] });
  });
});
