/** Arrays as the server sends them: a name, a shape, and the numbers. */
export type Numbers = Uint8Array | Int8Array | Int32Array | Float32Array | BigInt64Array;
export type NdArray = { shape: number[]; data: Numbers };
export type Tensors = Record<string, NdArray>;

type Entry = { dtype: string; shape: number[]; data_offsets: [number, number] };

const VIEWS: Record<string, { bytes: number; view: (buffer: ArrayBuffer, at: number, length: number) => Numbers }> = {
  U8: { bytes: 1, view: (buffer, at, length) => new Uint8Array(buffer, at, length) },
  BOOL: { bytes: 1, view: (buffer, at, length) => new Uint8Array(buffer, at, length) },
  I8: { bytes: 1, view: (buffer, at, length) => new Int8Array(buffer, at, length) },
  I32: { bytes: 4, view: (buffer, at, length) => new Int32Array(buffer, at, length) },
  F32: { bytes: 4, view: (buffer, at, length) => new Float32Array(buffer, at, length) },
  I64: { bytes: 8, view: (buffer, at, length) => new BigInt64Array(buffer, at, length) },
};

/** The tensors of a safetensors file and its metadata; views of the buffer where the alignment allows it. */
export function readSafetensors(buffer: ArrayBuffer): { tensors: Tensors; metadata: Record<string, string> } {
  if (buffer.byteLength < 8) throw new Error(`${buffer.byteLength} bytes are no safetensors file; the answer was cut short`);
  const length = Number(new DataView(buffer).getBigUint64(0, true));
  const start = 8 + length;
  if (start > buffer.byteLength) throw new Error(`a header of ${length} bytes in ${buffer.byteLength}; the answer was cut short`);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 8, length))) as Record<string, unknown>;
  const metadata = (header.__metadata__ ?? {}) as Record<string, string>;
  delete header.__metadata__;
  const tensors: Tensors = {};
  for (const [name, entry] of Object.entries(header as Record<string, Entry>)) {
    const kind = VIEWS[entry.dtype];
    if (!kind) throw new Error(`tensor ${name} has dtype ${entry.dtype}; wanted one of ${Object.keys(VIEWS).join(", ")}`);
    const [from, to] = entry.data_offsets;
    if (start + to > buffer.byteLength) throw new Error(`tensor ${name} ends behind the file; the answer was cut short`);
    const at = start + from;
    // typed arrays cannot start at odd addresses: copy only those that would
    const aligned = at % kind.bytes === 0;
    const source = aligned ? buffer : buffer.slice(at, start + to);
    tensors[name] = { shape: entry.shape, data: kind.view(source, aligned ? at : 0, (to - from) / kind.bytes) };
  }
  return { tensors, metadata };
}
