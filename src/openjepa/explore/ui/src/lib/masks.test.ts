import { expect, it } from "vitest";
import { NEITHER, SEEN, take, tile } from "./masks";

const u8 = (shape: number[], data: number[]) => ({ shape, data: Uint8Array.from(data) });

it("take: one part along the first axes", () => {
  const array = u8([2, 2, 3], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
  expect(Array.from(take(array, 1).data as Uint8Array)).toEqual([6, 7, 8, 9, 10, 11]);
  expect(take(array, 1, 1)).toEqual(u8([3], [9, 10, 11]));
});

it("tile: seen, asked by a block, neither; what is asked twice counts once", () => {
  const screen = { x: 1, y: 0, t: null, up: false };
  const context = u8([1, 2, 3], [1, 0, 0, 0, 0, 0]);
  const targets = u8([1, 2, 2, 3], [0, 1, 1, 0, 0, 0, 0, 0, 1, 0, 0, 1]);
  const found = tile(context, targets, 0, screen);
  expect(Array.from(found!.cells)).toEqual([SEEN, 0, 1, NEITHER, NEITHER, 1]);
  expect([found!.cols, found!.rows]).toEqual([3, 2]);
  expect(found!.seen).toBeCloseTo(1 / 6);
  expect(found!.asked).toBeCloseTo(3 / 6);
});

it("tile: mel grows upwards, and a film has its own mask at each time", () => {
  const sound = tile(u8([1, 1, 2], [1, 0]), u8([1, 1, 1, 2], [0, 1]), 0, { x: 0, y: 1, t: null, up: true });
  expect(Array.from(sound!.cells)).toEqual([0, SEEN]);
  const film = (t: number) => tile(u8([1, 2, 1, 1], [1, 0]), u8([1, 1, 2, 1, 1], [0, 1]), 0, { x: 2, y: 1, t: 0, up: false }, t);
  expect([...film(0)!.cells, ...film(1)!.cells]).toEqual([SEEN, 0]);
});
