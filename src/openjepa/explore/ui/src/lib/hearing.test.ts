import { describe, expect, it } from "vitest";
import { overlap } from "./boxes";
import { caption, readWav, ruled, type Axes } from "./hearing";

const axes: Axes = { seconds: [0, 0.08, 0.16, 0.24], hz: [20, 303, 812, 4000], rate: 8000, python: "" };

describe("captions", () => {
  it("say seconds and Hz of the edges", () => {
    expect(caption({ at: [0, 1], size: [2, 1] }, axes)).toBe("0.00 s to 0.16 s, 300 to 810 Hz");
    expect(caption({ at: [2, 0], size: [1, 3] }, axes)).toBe("0.16 s to 0.24 s, 20 to 4000 Hz");
  });
});

describe("rules", () => {
  let seed = 3;
  const random = (): number => (seed = (seed * 16807) % 2147483647) / 2147483647;
  it("stay on the grid, and random boxes do not overlap", () => {
    for (const grid of [[8, 4], [12, 1], [1, 9], [60, 8]])
      for (const rule of ["time", "frequency", "random"] as const)
        for (let i = 0; i < 50; i++) {
          const found = ruled(rule, grid, random);
          expect(found.length).toBeGreaterThan(0);
          for (const box of found) [0, 1].forEach((axis) => expect(box.at[axis] >= 0 && box.size[axis] > 0 && box.at[axis] + box.size[axis] <= grid[axis]).toBe(true));
          found.forEach((box, i) => found.slice(0, i).forEach((other) => expect(overlap(box, other)).toBe(0)));
        }
  });
  it("leave something to hear wherever there is more than one token", () => {
    expect(ruled("time", [8, 4], random)[0].size).toEqual([2, 4]);
    expect(ruled("frequency", [8, 4], random)[0].size).toEqual([8, 1]);
  });
});

/** A file by another hand: chunks in an unusual order, one of odd length. */
function wav(samples: number[], rate: number, comment: string): ArrayBuffer {
  const text = new TextEncoder().encode(comment + "\0");
  const parts: number[] = [];
  const u32 = (value: number): number[] => [value & 255, (value >> 8) & 255, (value >> 16) & 255, value >>> 24];
  const ascii = (name: string): number[] => [...name].map((c) => c.charCodeAt(0));
  const chunk = (id: string, body: number[]): void => {
    parts.push(...ascii(id), ...u32(body.length), ...body, ...(body.length % 2 ? [0] : []));
  };
  chunk("junk", [1, 2, 3]);
  chunk("LIST", [...ascii("INFO"), ...ascii("ICMT"), ...u32(text.length), ...text]);
  chunk("fmt ", [3, 0, 1, 0, ...u32(rate), ...u32(4 * rate), 4, 0, 32, 0]);
  chunk("data", [...new Uint8Array(Float32Array.from(samples).buffer)]);
  return Uint8Array.from([...ascii("RIFF"), ...u32(parts.length + 4), ...ascii("WAVE"), ...parts]).buffer;
}

describe("WAV", () => {
  it("gives samples, rate and comment back", () => {
    const found = readWav(wav([0, 0.5, -1], 16000, "made by"));
    expect([...found.samples]).toEqual([0, 0.5, -1]);
    expect(found.rate).toBe(16000);
    expect(found.comment).toBe("made by");
  });
  it("says what is wrong", () => {
    expect(() => readWav(new ArrayBuffer(20))).toThrow("no WAV");
    const integers = new Uint8Array(wav([0], 8000, ""));
    const view = new DataView(integers.buffer);
    for (let at = 12; at < integers.length - 4; at++) if (String.fromCharCode(...integers.slice(at, at + 4)) === "fmt ") view.setUint16(at + 8, 1, true);
    expect(() => readWav(integers.buffer)).toThrow("mono floats");
  });
});
