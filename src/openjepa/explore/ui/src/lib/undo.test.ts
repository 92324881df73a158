import { describe, expect, it } from "vitest";
import { Undo } from "./undo";

describe("undo", () => {
  it("goes back and forth through what was pushed", () => {
    const undo = new Undo(0);
    for (const state of [1, 2, 3]) undo.push(state);
    expect([undo.undo(), undo.undo(), undo.undo(), undo.undo()]).toEqual([2, 1, 0, null]);
    expect([undo.redo(), undo.redo(), undo.redo(), undo.redo()]).toEqual([1, 2, 3, null]);
  });

  it("forgets what was undone when something new happens", () => {
    const undo = new Undo(0);
    undo.push(1);
    undo.undo();
    undo.push(2);
    expect(undo.redo()).toBeNull();
    expect(undo.undo()).toBe(0);
  });

  it("takes the same state twice as one", () => {
    const undo = new Undo({ x: 0 }, (a, b) => a.x === b.x);
    undo.push({ x: 0 });
    expect(undo.undo()).toBeNull();
  });

  it("keeps no more than its limit", () => {
    const undo = new Undo<number>(0, Object.is, 3);
    for (let state = 1; state < 10; state++) undo.push(state);
    expect([undo.undo(), undo.undo(), undo.undo(), undo.undo()]).toEqual([8, 7, 6, null]);
  });

  it("begins again", () => {
    const undo = new Undo(0);
    undo.push(1);
    undo.reset(5);
    expect(undo.empty).toBe(true);
    undo.push(6);
    expect(undo.undo()).toBe(5);
  });
});
