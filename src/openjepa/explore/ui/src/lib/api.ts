import { readSafetensors, type NdArray, type Tensors } from "./safetensors";
import { SingleFlight } from "./single";
import { answer as exported, fileOf, isStatic } from "./static";
import type { InputInfo } from "./types";

export type { NdArray, Tensors } from "./safetensors";
export type Answer<M> = { meta: M; tensors: Tensors };

/** What went wrong, in the server's words: a title, why, what to change, and a command line that mends it. */
export class Problem extends Error {
  constructor(
    readonly status: number,
    readonly title: string,
    readonly detail: string = "",
    readonly hint: string = "",
    readonly fix: string = "",
  ) {
    super(detail || title);
  }
}

const BASE = "api/v1/";
const CLIENT = Math.random().toString(36).slice(2, 10);
const flights = new SingleFlight();
let sequence = 0;

/** Told on each request whether the server answered at all. */
export const reach = { changed: (_there: boolean): void => {} };

/** An address below the API; parts with odd characters must come through `part`. */
export const address = (path: string): string => (isStatic ? fileOf(path) : BASE + path);
export const part = (text: string): string => encodeURIComponent(text);

async function problemOf(response: Response): Promise<Problem> {
  const text = await response.text().catch(() => "");
  try {
    const body = JSON.parse(text) as Partial<Problem>;
    return new Problem(response.status, body.title ?? response.statusText, body.detail, body.hint, body.fix);
  } catch {
    return new Problem(response.status, response.statusText || `HTTP ${response.status}`, text.slice(0, 400));
  }
}

async function send(path: string, init: RequestInit = {}): Promise<Response> {
  let response: Response;
  try {
    response = await (isStatic ? exported(path, init) : fetch(address(path), { credentials: "same-origin", ...init }));
  } catch (error) {
    if (init.signal?.aborted) throw error;
    reach.changed(false);
    throw new Problem(0, "The server does not answer", "Is `openjepa explore` still running?");
  }
  reach.changed(true);
  if (!response.ok) throw await problemOf(response);
  return response;
}

export async function getJSON<T>(path: string, signal?: AbortSignal): Promise<T> {
  return (await send(path, { signal })).json() as Promise<T>;
}

/** POSTs JSON; answers of either kind (JSON or safetensors) come back as {meta, tensors}. Waits for nothing. */
export async function post<M>(path: string, body: unknown, headers: Record<string, string> = {}, signal?: AbortSignal): Promise<Answer<M>> {
  const init = { method: "POST", body: JSON.stringify(body), headers: { "Content-Type": "application/json", ...headers }, signal };
  return unpack<M>(await send(path, init));
}

async function unpack<M>(response: Response): Promise<Answer<M>> {
  if (response.headers.get("content-type")?.includes("json")) return { meta: (await response.json()) as M, tensors: {} };
  return fromBytes<M>(await response.arrayBuffer());
}

export function fromBytes<M>(buffer: ArrayBuffer): Answer<M> {
  const { tensors, metadata } = readSafetensors(buffer);
  return { meta: JSON.parse(metadata.json ?? "{}") as M, tensors };
}

/** One request in flight per panel, latest wins: null when a newer one of the same panel took its place. */
export async function call<M>(panel: string, path: string, body: unknown): Promise<Answer<M> | null> {
  return flights.run(panel, async () => {
    const headers = { "X-Panel": panel, "X-Client": CLIENT, "X-Seq": String(++sequence) };
    try {
      return await post<M>(path, body, headers);
    } catch (error) {
      if (error instanceof Problem && error.status === 409) return null;
      throw error;
    }
  });
}

/** The messages of a streamed answer as they come: each is a u32 length and a safetensors body. */
export async function stream<M>(path: string, body: unknown, got: (answer: Answer<M>) => void, signal?: AbortSignal): Promise<void> {
  const headers = { "Content-Type": "application/json", "X-Panel": "stream", "X-Client": CLIENT, "X-Seq": String(++sequence) };
  const response = await send(path, { method: "POST", body: JSON.stringify(body), headers, signal });
  if (!response.body) return;
  const reader = response.body.getReader();
  let rest = new Uint8Array(0);
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const bytes = new Uint8Array(rest.length + value.length);
    bytes.set(rest);
    bytes.set(value, rest.length);
    rest = bytes;
    while (rest.length >= 4) {
      const length = new DataView(rest.buffer, rest.byteOffset).getUint32(0, true);
      if (rest.length < 4 + length) break;
      got(fromBytes<M>(rest.slice(4, 4 + length).buffer));
      rest = rest.slice(4 + length);
    }
  }
}

/** Gives the server a file to look at; it answers with the new input, or says why it cannot. */
export async function upload(run: string, file: File): Promise<InputInfo> {
  const init = { method: "POST", body: file, headers: { "X-Name": part(file.name || "pasted"), "Content-Type": "application/octet-stream" } };
  return (await send(`runs/${part(run)}/inputs`, init)).json() as Promise<InputInfo>;
}

/** A GET whose answer is arrays. */
export async function getArrays<M>(path: string, signal?: AbortSignal): Promise<Answer<M>> {
  return unpack<M>(await send(path, { signal }));
}

/** A POST whose answer is a file (a sound, a picture). */
export async function postBlob(path: string, body: unknown, signal?: AbortSignal): Promise<Blob> {
  const init = { method: "POST", body: JSON.stringify(body), headers: { "Content-Type": "application/json" }, signal };
  return (await send(path, init)).blob();
}

export const floats = (array: NdArray | undefined): Float32Array => (array?.data as Float32Array | undefined) ?? new Float32Array(0);
export const bytes = (array: NdArray | undefined): Uint8Array => (array?.data as Uint8Array | undefined) ?? new Uint8Array(0);
