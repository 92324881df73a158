import { expect, test } from "vitest";
import type { HeadShown } from "./api.gen";
import { bars, isClasses, isNeighbours, isText, isTokens, ordered, taken, titleOf } from "./heads";

const head = (changes: Partial<HeadShown>): HeadShown => ({
  name: "class-linear-8", kind: "linear", question: "class", classes: 2, parameters: 10, step: 8, accuracy: 0.6, low: 0.5, high: 0.7, samples: 40,
  floors: { untrained: 0.3, chance: 0.5 }, data: "d", test: "t", settings: { pooling: "mean", layer: -1 }, source: {}, created: "", failures: [], own: true, why: "",
  ...changes,
});

test("a head stands beside everything that it has to beat, and without a score of its own only they are shown", () => {
  expect(bars(head({})).map((bar) => [bar.id, bar.value, bar.lead])).toEqual([["accuracy", 0.6, true], ["untrained", 0.3, false], ["chance", 0.5, false]]);
  expect(bars(head({ accuracy: null, floors: {} }))).toEqual([]);
  expect(bars(head({ floors: { "a new floor": 0.1 } }))[1].label).toBe("a new floor");
});

test("heads of the checkpoint on screen come first, those that cannot be asked and the one without labels last", () => {
  const heads = [head({ name: "old", step: 2 }), head({ name: "none", step: null }), head({ name: "gone", step: 9, why: "gone" }), head({ name: "now", step: 4 }), head({ name: "new", step: 8 })];
  expect(ordered(heads, 4).map((one) => one.name)).toEqual(["now", "new", "old", "gone", "none"]);
  expect(heads[0].name).toBe("old");
});

test("a kind nobody knows is called what it calls itself, and its parts are no known ones", () => {
  expect(titleOf(head({ kind: "weather" }))).toBe("weather");
  expect(taken(head({ settings: { pooling: "last4", layer: -1 } }))).toBe("last 4 layers");
  expect(taken(head({ settings: { pooling: "places", layer: -2 } }))).toBe("all places, layer -2");
  expect(taken(head({ settings: {} }))).toBe("");
  for (const is of [isClasses, isNeighbours, isTokens, isText]) {
    expect(is({ kind: "weather", sky: "blue" })).toBe(false);
    expect(is({ kind: "classes" }) || is({ kind: "tokens", values: 3 })).toBe(false);
  }
  expect(isText({ kind: "text", text: "yes" })).toBe(true);
});
