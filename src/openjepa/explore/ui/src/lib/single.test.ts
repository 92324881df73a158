import { describe, expect, it } from "vitest";
import { SingleFlight } from "./single";

/** A job that ends when it is told to. */
function job(log: string[], name: string): { start: () => Promise<string>; end: () => void; fail: () => void } {
  let [end, fail]: (() => void)[] = [];
  const promise = new Promise<string>((resolve, reject) => {
    end = () => resolve(name);
    fail = () => reject(new Error(name));
  });
  return { start: () => (log.push(name), promise), end: () => end(), fail: () => fail() };
}
const turn = (): Promise<void> => new Promise((resolve) => setTimeout(resolve));

describe("one in flight", () => {
  it("runs the first and the newest; those between resolve to null", async () => {
    const [flights, log] = [new SingleFlight(), [] as string[]];
    const jobs = ["a", "b", "c", "d"].map((name) => job(log, name));
    const results = jobs.map(({ start }) => flights.run("panel", start));
    await turn();
    expect(log).toEqual(["a"]);
    expect(await results[1]).toBeNull();
    expect(await results[2]).toBeNull();
    jobs[0].end();
    expect(await results[0]).toBe("a");
    await turn();
    expect(log).toEqual(["a", "d"]);
    jobs[3].end();
    expect(await results[3]).toBe("d");
  });

  it("keeps panels apart", async () => {
    const [flights, log] = [new SingleFlight(), [] as string[]];
    void flights.run("one", job(log, "a").start);
    void flights.run("two", job(log, "b").start);
    await turn();
    expect(log).toEqual(["a", "b"]);
  });

  it("goes on after a failure, thrown at once or later", async () => {
    const [flights, log] = [new SingleFlight(), [] as string[]];
    const bad = job(log, "a");
    const first = flights.run("panel", bad.start);
    const next = flights.run("panel", () => {
      throw new Error("at once");
    });
    bad.fail();
    await expect(first).rejects.toThrow("a");
    await expect(next).rejects.toThrow("at once");
    expect(await flights.run("panel", async () => "fine")).toBe("fine");
  });

  it("drops what waits", async () => {
    const [flights, log] = [new SingleFlight(), [] as string[]];
    const [a, b] = [job(log, "a"), job(log, "b")];
    const first = flights.run("panel", a.start);
    const second = flights.run("panel", b.start);
    flights.clear("panel");
    expect(await second).toBeNull();
    a.end();
    await first;
    await turn();
    expect(log).toEqual(["a"]);
  });
});
