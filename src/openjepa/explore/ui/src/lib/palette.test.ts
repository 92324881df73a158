import { describe, expect, it } from "vitest";
import { colour, paint, paintGrey, paintRGB } from "./palette";

const lightness = ([r, g, b]: number[]): number => 0.2126 * r + 0.7152 * g + 0.0722 * b;

describe("palettes", () => {
  it.each(["viridis", "cividis"] as const)("%s gets lighter all the way", (name) => {
    const steps = Array.from({ length: 101 }, (_, i) => lightness(colour(name, i / 100)));
    for (let i = 1; i <= 100; i++) expect(steps[i]).toBeGreaterThan(steps[i - 1] - 0.75);
    expect(steps[100] - steps[0]).toBeGreaterThan(150);
  });

  it("of differences is lightest where there is none, blue below and orange above", () => {
    const [low, none, high] = [colour("diverging", 0.1), colour("diverging", 0.5), colour("diverging", 0.9)];
    expect(lightness(none)).toBeGreaterThan(Math.max(lightness(low), lightness(high)) + 80);
    expect(low[2]).toBeGreaterThan(low[0]);
    expect(high[0]).toBeGreaterThan(high[2]);
  });

  it("clamp outside, and leave out what is no number", () => {
    expect(colour("viridis", -3)).toEqual(colour("viridis", 0));
    expect(colour("viridis", 7)).toEqual(colour("viridis", 1));
    const pixels = paint([0, NaN, 1], "viridis", 0, 1);
    expect([...pixels.slice(4, 8)]).toEqual([0, 0, 0, 0]);
    expect([...pixels.slice(8, 12)]).toEqual([...colour("viridis", 1), 255]);
    expect(paintRGB([NaN, NaN, NaN])[3]).toBe(0);
  });

  it("show the first of three numbers as lightness", () => {
    expect([...paintGrey([0.5, 0, 1])]).toEqual([...paintRGB([0.5, 0.5, 0.5])]);
  });

  it("do not divide by a range of nothing", () => {
    expect([...paint([2, 2], "viridis", 2, 2)].every(Number.isFinite)).toBe(true);
  });
});
