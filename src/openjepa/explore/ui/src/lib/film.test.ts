import { describe, expect, it } from "vitest";
import { mask } from "./boxes";
import { advance, course, frameOf, hidden, line, pulled, rectangles, spans, stepOf, stride } from "./film";

describe("time", () => {
  it("puts every frame into its step, and steps begin at their first frame", () => {
    expect(Array.from({ length: 8 }, (_, frame) => stepOf(frame, 8, 4))).toEqual([0, 0, 1, 1, 2, 2, 3, 3]);
    for (const [frames, steps] of [[16, 8], [12, 3], [7, 7]]) for (let step = 0; step < steps; step++) expect(stepOf(frameOf(step, frames, steps), frames, steps)).toBe(step);
    expect(stepOf(7.9, 8, 4)).toBe(3);
    expect(stepOf(99, 8, 4)).toBe(3);
  });

  it("plays on, in a loop or to an end", () => {
    expect(advance(7, 0.5, 4, 8, true)).toEqual({ clock: 1, ended: false });
    expect(advance(0.5, -0.25, 4, 8, true).clock).toBeCloseTo(7.5);
    expect(advance(7, 0.5, 4, 8, false)).toEqual({ clock: 7, ended: true });
    expect(advance(1, -1, 4, 8, false)).toEqual({ clock: 0, ended: true });
  });

  it("goes by time steps, not by frames", () => {
    expect(stride(2.4, 1, 8, 4)).toBe(4);
    expect(stride(3, -1, 8, 4)).toBe(2);
    expect(stride(2, -1, 8, 4)).toBe(0);
    expect(stride(7, 1, 8, 4)).toBe(6);
    expect(stride(0, -1, 8, 4)).toBe(0);
  });
});

describe("what is hidden", () => {
  const grid = [8, 4, 5];
  const tube = { at: [2, 1, 1], size: [4, 2, 3] };
  it("is the tube, the future, or both without asking for a token twice", () => {
    expect(hidden("tube", tube, 4, grid)).toEqual([tube]);
    expect(hidden("future", tube, 4, grid)).toEqual([{ at: [4, 0, 0], size: [4, 4, 5] }]);
    const both = hidden("both", tube, 4, grid);
    expect(both).toEqual([{ at: [2, 1, 1], size: [2, 2, 3] }, { at: [4, 0, 0], size: [4, 4, 5] }]);
    const union = mask([tube, { at: [4, 0, 0], size: [4, 4, 5] }], grid);
    expect(mask(both, grid)).toEqual(union);
    expect(both.reduce((sum, box) => sum + box.size.reduce((a, b) => a * b, 1), 0)).toBe(union.reduce((a, b) => a + b, 0));
    expect(hidden("both", { ...tube, at: [4, 1, 1] }, 4, grid)).toHaveLength(1);
  });
  it("always leaves a past and a future", () => {
    expect(hidden("future", tube, 0, grid)[0].at[0]).toBe(1);
    expect(hidden("future", tube, 99, grid)[0]).toEqual({ at: [7, 0, 0], size: [1, 4, 5] });
  });
});

describe("curves", () => {
  it("are means over what was asked", () => {
    const data = Float32Array.from([NaN, NaN, 1, NaN, 2, 4]);
    expect([...course({ shape: [3, 1, 2], data })]).toEqual([NaN, 1, 3]);
    expect(course(undefined)).toHaveLength(0);
  });
  it("break where there is no number, and show lone points", () => {
    expect(line([NaN, 0, 1, NaN, 0.5], 0, 1, 10, 4)).toBe("M3 4L5 0M9 2h0.01");
    expect(line([2, 2], 2, 2, 10, 4)).toBe("M2.5 4L7.5 4");
  });
  it("have spans and ends that stay in order", () => {
    expect(spans([2, 3, 4, 7])).toEqual([{ from: 2, to: 5 }, { from: 7, to: 8 }]);
    expect(spans([])).toEqual([]);
    expect(pulled({ from: 2, to: 5 }, "from", 9, 8)).toEqual({ from: 4, to: 5 });
    expect(pulled({ from: 2, to: 5 }, "to", 0, 8)).toEqual({ from: 2, to: 3 });
    expect(pulled({ from: 2, to: 5 }, "to", 20, 8)).toEqual({ from: 2, to: 8 });
  });
});

describe("rectangles", () => {
  it("cover a mask exactly once", () => {
    let seed = 7;
    const random = (): number => (seed = (seed * 16807) % 2147483647) / 2147483647;
    for (const grid of [[5, 7], [3, 4, 5], [11]]) {
      const wanted = Uint8Array.from({ length: grid.reduce((a, b) => a * b, 1) }, () => Number(random() < 0.6));
      const found = rectangles(wanted, grid);
      expect(mask(found, grid)).toEqual(wanted);
      expect(found.reduce((sum, box) => sum + box.size.reduce((a, b) => a * b, 1), 0)).toBe(wanted.reduce((a, b) => a + b, 0));
    }
  });
  it("are few", () => {
    expect(rectangles(mask([{ at: [1, 0, 2], size: [2, 3, 2] }], [4, 3, 5]), [4, 3, 5])).toEqual([{ at: [1, 0, 2], size: [2, 3, 2] }]);
  });
});
