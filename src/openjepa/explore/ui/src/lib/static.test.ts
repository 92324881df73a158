import { beforeEach, describe, expect, it, vi } from "vitest";
import { answer, fileOf, isStatic, opened, unzipped } from "./static";

/** A message of a pack as Python writes it: length, header length, header, no tensors. */
function message(meta: object): Uint8Array {
  const header = new TextEncoder().encode(JSON.stringify({ __metadata__: { json: JSON.stringify(meta) } }));
  const bytes = new Uint8Array(4 + 8 + header.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, 8 + header.length, true);
  view.setBigUint64(4, BigInt(header.length), true);
  bytes.set(header, 12);
  return bytes;
}

function joined(parts: Uint8Array[]): ArrayBuffer {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes.buffer;
}

const zipped = (data: ArrayBuffer): Promise<ArrayBuffer> => new Response(new Blob([data]).stream().pipeThrough(new CompressionStream("gzip"))).arrayBuffer();
const places = [[0, 0], [0, 1], [1, 0]].map((at) => message({ at, energy: at[0] * 10 + at[1] }));
const shares = [0.25, 0.5, 0.75].map((share) => message({ share }));
const config = { packs: { "jepa/a/data:1": ["2x2"], "mae/m/data:1": ["2x2", "shares"], "mae/other/data:1": ["2x2"] }, views: { a: "1", m: "1", other: "2" } };
const asked: string[] = [];

beforeEach(async () => {
  asked.length = 0;
  const files: Record<string, ArrayBuffer | string> = {
    "config.json": JSON.stringify(config),
    "data/runs.json": '{"runs": []}',
    "data/runs/a/metrics.json": JSON.stringify({ cursor: 4711, file: "1", restart: true, columns: { step: [0, 1], loss: [2, 3] } }),
    "data/runs/a/inputs/data-1/view.bin": "view",
    "data/jepa/a/data-1/2x2.pack": await zipped(joined(places)),
    "data/mae/m/data-1/2x2.pack": joined(places), // unpacked by the server on the way
    "data/mae/m/data-1/shares.pack": await zipped(joined(shares)),
    "data/mae/other/data-1/2x2.pack": await zipped(joined(places)),
  };
  vi.stubGlobal("fetch", async (url: string) => {
    asked.push(url);
    return url in files ? new Response(files[url]) : new Response("", { status: 404 });
  });
});

const post = (path: string, body: object): Promise<Response> => answer(path, { method: "POST", body: JSON.stringify(body) });
const meta = async (response: Response): Promise<Record<string, unknown>> => {
  const bytes = await response.arrayBuffer();
  const header = new TextDecoder().decode(new Uint8Array(bytes, 8));
  return JSON.parse(JSON.parse(header).__metadata__.json);
};
const predict = { run: "a", step: null, input: "data:1", context: null, mode: "strict", quick: true };

describe("an export stands in for the server", () => {
  it("is off where the page was not told so", () => expect(isStatic).toBe(false));

  it("finds files by the question's path", async () => {
    expect(fileOf("runs/a/inputs/data%3A1/thumb")).toBe("data/runs/a/inputs/data-1/thumb.png");
    expect(await (await answer("runs")).json()).toEqual({ runs: [] });
    const view = await answer("runs/a/inputs/data%3A1/view");
    expect([view.headers.get("content-type"), await view.text()]).toEqual(["application/x-safetensors", "view"]);
  });

  it("looks a dragged hole up by its place, with one request for all of them", async () => {
    for (const [at, energy] of [[[0, 1], 1], [[1, 0], 10]]) {
      const found = await post("jepa/predict", { ...predict, targets: [{ at, size: [2, 2] }] });
      expect((await meta(found)).energy).toBe(energy);
    }
    expect(asked.filter((url) => url.endsWith(".pack"))).toHaveLength(1);
  });

  it("streams every placement", async () => {
    const found = await post("jepa/sweep", { ...predict, targets: [], size: [2, 2], start: [0, 0] });
    expect(opened(await found.arrayBuffer()).parts.map((part) => part.at)).toEqual([[0, 0], [0, 1], [1, 0]]);
  });

  it("takes the nearest share, and says which", async () => {
    const found = await post("mae/predict", { run: "m", input: "data:1", ratio: 0.6, seed: 0, sampler: "random", targets: null, hidden: null });
    expect((await meta(found)).share).toBe(0.5);
  });

  it("paints the same hole beside a JEPA only where both see the same inputs", async () => {
    const hole = { input: "data:1", of: "a", targets: [{ at: [0, 1], size: [2, 2] }] };
    expect((await meta(await post("mae/predict", { run: "m", ...hole }))).energy).toBe(1);
    expect((await post("mae/predict", { run: "other", ...hole })).status).toBe(501);
  });

  it.each([
    ["jepa/predict", { ...predict, targets: [{ at: [0, 0], size: [3, 3] }] }, "2x2"],
    ["jepa/predict", { ...predict, targets: [{ at: [9, 9], size: [2, 2] }] }, "9, 9"],
    ["jepa/predict", { ...predict, mode: "peek", targets: [{ at: [0, 0], size: [2, 2] }] }, "One hole"],
    ["jepa/predict", { ...predict, context: { at: [0, 0], size: [1, 1] }, targets: [{ at: [0, 0], size: [2, 2] }] }, "One hole"],
    ["jepa/noise", predict, "not computed"],
    ["mae/predict", { run: "m", input: "data:1", ratio: 0.5, seed: 3 }, "seed 0"],
    ["runs/a/inputs", {}, "takes no files"],
  ])("says what was not computed beforehand: %s", async (path, body, detail) => {
    const response = await post(path, body);
    const problem = (await response.json()) as { detail: string; fix: string };
    expect(response.status).toBe(501);
    expect(problem.detail).toContain(detail);
    expect(problem.fix).toBe("openjepa explore");
  });

  it("has no news of a run that is over", async () => {
    const told = await (await answer("runs/a/metrics?keys=loss&file=1&since=4711")).json();
    expect(told).toEqual({ cursor: 4711, file: "1", restart: false, columns: { step: [], loss: [] } });
    expect((await (await answer("runs/a/metrics?keys=loss")).json()).columns.step).toEqual([0, 1]);
    expect((await answer("runs/gone/metrics?since=0")).status).toBe(501);
  });

  it("reads a pack whether or not the server unpacked it", async () => {
    const plain = joined(places);
    expect(opened(await unzipped(await zipped(plain)))).toEqual(opened(plain));
  });
});
