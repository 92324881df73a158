import { describe, expect, it } from "vitest";
import { append, before, csv, duration, grouped, join, lastOf, smooth, split, spread, wait, type Columns } from "./curves";

describe("split", () => {
  it("begins a piece where the run went back", () => {
    const pieces = split([0, 20, 40, 20, 40], [5, 4, 3, 9, 8], [0, 0, 0, 1, 1]);
    expect(pieces).toEqual([
      { x: [0, 20, 40], y: [5, 4, 3] },
      { x: [20, 40], y: [9, 8] },
    ]);
  });
  it("keeps gaps, and leaves out what has no place", () => {
    expect(split([0, null, 40], [1, 2, null], [0, 0, 0])).toEqual([{ x: [0, 40], y: [1, null] }]);
  });
});

describe("smooth", () => {
  it("is the curve itself with weight 0, and leaves a constant alone with any", () => {
    const y = [3, 1, 4];
    expect(smooth(y, 0)).toBe(y);
    for (const value of smooth([2, 2, 2, 2], 0.9)) expect(value).toBeCloseTo(2, 12);
  });
  it("starts at the first value and is a weighted mean of what came before", () => {
    const [a, b] = smooth([1, 3], 0.5) as number[];
    expect(a).toBeCloseTo(1, 12);
    expect(b).toBeCloseTo((0.25 * 1 + 0.5 * 3) / 0.75, 12);
  });
  it("does not take gaps for numbers", () => {
    expect(smooth([1, null, undefined, 1], 0.9)).toEqual([1, null, undefined, expect.closeTo(1, 12)]);
  });
  it("takes the middle of a pair, so that spikes of a bucket do not zigzag", () => {
    const out = smooth([0, 2, 0, 2, 7], 0.5, 4) as number[];
    expect(out.slice(0, 4)).toEqual([1, 1, 1, 1]);
    expect(out[4]).toBeGreaterThan(1);
    expect(out).toHaveLength(5);
  });
});

describe("join", () => {
  it("puts pieces over one x; what is not known is no gap", () => {
    const { x, ys } = join([
      { x: [0, 20, 100], y: [1, null, 3] },
      { x: [20, 40], y: [7, 8] },
    ]);
    expect(x).toEqual([0, 20, 40, 100]);
    expect(ys).toEqual([
      [1, null, undefined, 3],
      [undefined, 7, 8, undefined],
    ]);
  });
  it("sorts by number, not by letter", () => {
    expect(join([{ x: [9, 10, 100], y: [1, 2, 3] }]).x).toEqual([9, 10, 100]);
  });
});

it("before: the value there, or the last one known", () => {
  const y = [null, 4, undefined, null, 6];
  expect([0, 1, 3, 4, 99].map((at) => before(y, at))).toEqual([null, 4, 4, 6, 6]);
});

it("lastOf: the last number of a column", () => {
  expect(lastOf([1, 2, null])).toBe(2);
  expect(lastOf([null])).toBeNull();
  expect(lastOf(undefined)).toBeNull();
});

it("spread: ends included, no place twice", () => {
  expect(spread(5, 10)).toEqual([0, 1, 2, 3, 4]);
  const some = spread(1000, 7);
  expect(some[0]).toBe(0);
  expect(some.at(-1)).toBe(999);
  expect(new Set(some).size).toBe(7);
  expect(spread(0, 3)).toEqual([]);
});

it("csv: empty cells for gaps, quotes where needed", () => {
  expect(csv({ step: [0, 20], loss: [0.5, null], 'a "b"': ["x,y", "line\nend"] })).toBe('step,loss,"a ""b"""\n0,0.5,"x,y"\n20,,"line\nend"\n');
});

it("append: columns of one length, whatever came late or stayed away", () => {
  const old: Columns = { step: [0, 20], segment: [0, 0], loss: [2, 1] };
  const more: Columns = { step: [40], segment: [0], knn: [0.5] };
  expect(append(old, more)).toEqual({ step: [0, 20, 40], segment: [0, 0, 0], loss: [2, 1, null], knn: [null, null, 0.5] });
});

it("wait: each second while it changes, seldom when it ended", () => {
  expect([wait(true, true), wait(true, false), wait(false, false)]).toEqual([1000, 5000, 30000]);
});

it("words for people", () => {
  expect([duration(8.4), duration(200), duration(7500), duration(null)]).toEqual(["8 s", "3 min 20 s", "2 h 05 min", "–"]);
  expect(grouped(1234567)).toBe("1\u2009234\u2009567");
});
