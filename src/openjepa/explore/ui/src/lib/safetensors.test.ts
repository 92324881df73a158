import { describe, expect, it } from "vitest";
import { fromBytes } from "./api";
import { readSafetensors } from "./safetensors";

type Part = { name: string; dtype: string; shape: number[]; bytes: number[] };

/** A file by hand: header length, header, data; `pad` spaces move the data to any address. */
function file(parts: Part[], metadata: Record<string, string> = {}, pad = 0): ArrayBuffer {
  const entries: Record<string, unknown> = { __metadata__: metadata };
  let end = 0;
  for (const { name, dtype, shape, bytes } of parts) {
    entries[name] = { dtype, shape, data_offsets: [end, end + bytes.length] };
    end += bytes.length;
  }
  const header = new TextEncoder().encode(JSON.stringify(entries) + " ".repeat(pad));
  const buffer = new ArrayBuffer(8 + header.length + end);
  new DataView(buffer).setBigUint64(0, BigInt(header.length), true);
  new Uint8Array(buffer).set(header, 8);
  new Uint8Array(buffer).set(parts.flatMap((part) => part.bytes), 8 + header.length);
  return buffer;
}
const ONE_AND_MINUS_TWO = [0, 0, 128, 63, 0, 0, 0, 192]; // float32, little-endian

describe("safetensors", () => {
  it.each([0, 1, 2, 3, 4, 5, 6, 7])("reads every dtype wherever the data begin (%i bytes later)", (pad) => {
    const { tensors, metadata } = readSafetensors(
      file(
        [
          { name: "bytes", dtype: "U8", shape: [3], bytes: [1, 2, 255] },
          { name: "floats", dtype: "F32", shape: [2, 1], bytes: ONE_AND_MINUS_TWO },
          { name: "ints", dtype: "I32", shape: [1], bytes: [254, 255, 255, 255] },
          { name: "long", dtype: "I64", shape: [1], bytes: [1, 0, 0, 0, 1, 0, 0, 0] },
        ],
        { json: '{"mse": 0.5}' },
        pad,
      ),
    );
    expect([...tensors.bytes.data]).toEqual([1, 2, 255]);
    expect([...tensors.floats.data]).toEqual([1, -2]);
    expect(tensors.floats.shape).toEqual([2, 1]);
    expect([...tensors.ints.data]).toEqual([-2]);
    expect([...tensors.long.data]).toEqual([2n ** 32n + 1n]);
    expect(metadata.json).toBe('{"mse": 0.5}');
  });

  it("keeps NaN in tensors and gives an empty tensor its shape", () => {
    const { tensors } = readSafetensors(file([{ name: "a", dtype: "F32", shape: [1], bytes: [0, 0, 192, 127] }, { name: "none", dtype: "F32", shape: [0, 3], bytes: [] }]));
    expect(tensors.a.data[0]).toBeNaN();
    expect(tensors.none).toEqual({ shape: [0, 3], data: new Float32Array(0) });
  });

  it("does not copy what is aligned", () => {
    const buffer = file([{ name: "bytes", dtype: "U8", shape: [3], bytes: [1, 2, 3] }]);
    expect(readSafetensors(buffer).tensors.bytes.data.buffer).toBe(buffer);
  });

  it("says when an answer was cut short or has another dtype", () => {
    const whole = file([{ name: "a", dtype: "F32", shape: [2], bytes: ONE_AND_MINUS_TWO }]);
    expect(() => readSafetensors(whole.slice(0, whole.byteLength - 1))).toThrow("cut short");
    expect(() => readSafetensors(whole.slice(0, 20))).toThrow("cut short");
    expect(() => readSafetensors(new ArrayBuffer(3))).toThrow("cut short");
    expect(() => readSafetensors(file([{ name: "a", dtype: "F8", shape: [1], bytes: [1] }]))).toThrow("dtype F8");
  });

  it("takes the meta out of the metadata", () => {
    expect(fromBytes<{ mse: number }>(file([], { json: '{"mse": 0.5}' })).meta.mse).toBe(0.5);
  });
});
