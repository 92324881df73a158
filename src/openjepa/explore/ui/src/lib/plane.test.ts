import { describe, expect, it } from "vitest";
import { picture, plane, range } from "./plane";

const counted = (shape: number[]): { shape: number[]; data: Float32Array } => ({
  shape,
  data: Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => i),
});

describe("what lies on the screen", () => {
  it("is an image row by row", () => {
    const got = plane(counted([2, 3]), { x: 1, y: 0, t: null, up: false });
    expect(got).toMatchObject({ cols: 3, rows: 2, channels: 1 });
    expect([...(got?.data ?? [])]).toEqual([0, 1, 2, 3, 4, 5]);
  });

  it("is one frame of a video, with channels", () => {
    const got = plane(counted([2, 2, 3, 3]), { x: 2, y: 1, t: 0, up: false }, 1);
    expect(got).toMatchObject({ cols: 3, rows: 2, channels: 3 });
    expect([...(got?.data ?? [])]).toEqual(Array.from({ length: 18 }, (_, i) => 18 + i));
  });

  it("is a spectrogram: time to the right, low bands below", () => {
    // [time, mel] = [[0, 1, 2], [3, 4, 5]]
    const got = plane(counted([2, 3]), { x: 0, y: 1, t: null, up: true });
    expect([...(got?.data ?? [])]).toEqual([2, 5, 1, 4, 0, 3]);
  });

  it("is a line where there is one axis", () => {
    expect(plane(counted([4]), { x: 0, y: null, t: null, up: false })).toMatchObject({ cols: 4, rows: 1 });
  });

  it("takes a frame out of a film", () => {
    const film = { shape: [2, 1, 2, 3], data: Uint8Array.from({ length: 12 }, (_, i) => i) };
    expect(picture(film, 1)).toEqual({ w: 2, h: 1, data: Uint8Array.from([6, 7, 8, 9, 10, 11]) });
    expect(picture(film, 99)?.data[0]).toBe(6);
  });

  it("ranges over what is a number", () => {
    expect(range([NaN, 3, -1, Infinity])).toEqual([-1, 3]);
    expect(range([NaN])).toBeNull();
  });
});

it("shows nothing of a tensor with fewer axes than the screen, which another run left behind", () => {
  expect(plane({ shape: [2, 3], data: new Float32Array(6) }, { x: 2, y: 1, t: 0, up: false })).toBeNull();
});
