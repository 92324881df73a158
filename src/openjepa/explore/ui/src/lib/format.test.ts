import { describe, expect, it } from "vitest";
import { count, exact, number, percent } from "./format";

describe("numbers in words", () => {
  it.each([
    [0.21149, "0.211"], [12.345, "12.3"], [1234.4, "1234"], [-20000, "−20000"], [0, "0"], [-0.5, "−0.5"], [0.00012, "1.20e−4"], [null, "–"], [NaN, "–"], [Infinity, "–"],
  ])("%s is %s", (value, text) => expect(number(value)).toBe(text));

  it("shares have their sign", () => {
    expect([percent(0.754), percent(-0.58), percent(0.84, false), percent(null)]).toEqual(["+75\u00a0%", "−58\u00a0%", "84\u00a0%", "–"]);
  });

  it("exact values have six digits, or none at all", () => {
    expect([exact(1 / 3), exact(null), exact(NaN)]).toEqual(["0.333333", "", ""]);
  });

  it("counts are short", () => {
    expect([count(999), count(5_300_000), count(1234)]).toEqual(["999", "5.30 M", "1.23 k"]);
  });
});
