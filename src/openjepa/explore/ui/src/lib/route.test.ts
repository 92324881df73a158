import { describe, expect, it } from "vitest";
import { boxes, choice, flag, formatHash, int, list, num, numbers, PANELS, parseHash, read, text, write } from "./route";

/** A generator of the same numbers each time. */
function draws(seed: number): () => number {
  return () => {
    seed = (seed * 1664525 + 1013904223) % 2 ** 32;
    return seed / 2 ** 32;
  };
}
const SCHEMA = {
  ratio: num(0.75, 0, 0.95), seed: int(0, 0), tgt: boxes(), mode: choice("strict", "peek"), name: text("a"), on: flag(false), ids: list([]), hidden: numbers(),
};

describe("the address", () => {
  it("gives back what was written, for 500 random states", () => {
    const draw = draws(7);
    const whole = (most: number): number => Math.floor(draw() * most);
    for (let i = 0; i < 500; i++) {
      const values = {
        ratio: Number((draw() * 0.95).toPrecision(6)),
        seed: whole(1e6),
        tgt: Array.from({ length: whole(5) }, () => ({ at: [whole(9), whole(9)], size: [1 + whole(5), 1 + whole(5)] })),
        mode: draw() < 0.5 ? ("strict" as const) : ("peek" as const),
        name: Array.from({ length: whole(12) }, () => String.fromCodePoint(32 + whole(0x2000))).join(""),
        on: draw() < 0.5,
        ids: Array.from({ length: whole(4) }, () => ["a,b", "c;d", "ü & %", "x=1?#"][whole(4)]),
        hidden: [...new Set(Array.from({ length: whole(30) }, () => whole(60)))].sort((a, b) => a - b),
      };
      const hash = formatHash({ panel: "jepa", params: write(SCHEMA, values) });
      const { panel, params } = parseHash(hash);
      expect(panel).toBe("jepa");
      expect(read(SCHEMA, params)).toEqual({ values, bad: [] });
    }
  });

  it("keeps defaults out of the link", () => {
    expect(write(SCHEMA, { ratio: 0.75, mode: "strict", tgt: [] })).toEqual({});
  });

  it("stays readable", () => {
    const params = write(SCHEMA, { tgt: [{ at: [5, 5], size: [4, 4] }, { at: [1, 9], size: [3, 3] }] });
    expect(formatHash({ panel: "jepa", params: { in: "data:12", ...params } })).toBe("#/jepa?in=data:12&tgt=5,5,4,4;1,9,3,3");
  });

  it.each([
    ["ratio", "2"], ["ratio", ""], ["ratio", "x"], ["seed", "-1"], ["seed", "1.5"], ["tgt", "1,2,3"], ["tgt", "1,2,0,4"], ["tgt", "a,b,c,d"],
    ["mode", "cheat"], ["on", "yes"], ["hidden", "5-2"], ["hidden", "0-999999999"],
  ])("names %s=%s as unreadable and uses the default", (key, value) => {
    const { values, bad } = read(SCHEMA, { [key]: value });
    expect(bad).toEqual([key]);
    expect(values).toEqual(read(SCHEMA, {}).values);
  });

  it("knows its panels and no others", () => {
    for (const panel of PANELS) expect(parseHash(`#/${panel}`).panel).toBe(panel);
    expect(parseHash("#/nonsense?run=a")).toEqual({ panel: null, params: { run: "a" } });
    expect(parseHash("")).toEqual({ panel: null, params: {} });
  });
});
