// The page as plain files: what the server would answer was computed by `openjepa explore --export`.
import type { Box } from "./types";

type Config = { packs: Record<string, string[]>; views: Record<string, string> };
type Asked = { run: string; input: string; of?: string | null; step?: number | null; targets?: Box[] | null; context?: Box | null; mode?: string; ratio?: number | null; seed?: number; sampler?: string; hidden?: number[] | null; size?: number[] };
type Told = { columns: Record<string, unknown[]> };
type Pack = { whole: ArrayBuffer; parts: { at?: number[]; share?: number; bytes: ArrayBuffer }[] };

export const isStatic: boolean = typeof document !== "undefined" && document.documentElement.dataset.mode === "static";

const LIVE = "openjepa explore";
const KEPT = 12; // packs in memory
const packs = new Map<string, Promise<Pack | null>>();
let config: Promise<Config> | undefined;

/** Where the export keeps what GET `path` would say. */
export function fileOf(path: string): string {
  const [name] = path.split("?");
  const end = name.endsWith("/thumb") ? "png" : name.endsWith("/view") ? "bin" : "json";
  return `data/${decodeURIComponent(name).replaceAll(":", "-")}.${end}`;
}

const sizeOf = (size: number[]): string => size.join("x");

function missing(detail: string): Response {
  const body = { title: "Not in this export", detail, hint: "live, on your own machine, every question has an answer", fix: LIVE };
  return new Response(JSON.stringify(body), { status: 501, headers: { "content-type": "application/problem+json" } });
}

/** Stands in for the server: same questions, same answers, as far as they were exported. */
export async function answer(path: string, init: RequestInit = {}): Promise<Response> {
  if ((init.method ?? "GET") === "GET") return stored(path, init.signal);
  if (path.endsWith("/inputs")) return missing("An export shows the inputs that it was made with; it takes no files.");
  if (path === "bank/grow") return json({ have: 1, want: 1, full: true });
  const asked = JSON.parse(String(init.body)) as Asked;
  if (path === "jepa/sweep") return swept(asked);
  if (path === "jepa/predict") return placed("jepa", asked);
  if (path === "mae/predict") return asked.targets ? placed("mae", asked) : shared(asked);
  return missing("This answer was not computed beforehand.");
}

const json = (body: unknown): Response => new Response(JSON.stringify(body), { headers: { "content-type": "application/json" } });
const tensors = (bytes: ArrayBuffer): Response => new Response(bytes, { headers: { "content-type": "application/x-safetensors" } });

async function stored(path: string, signal?: AbortSignal | null): Promise<Response> {
  const response = await fetch(fileOf(path), { signal });
  if (!response.ok) return missing(`${path.split("?")[0]} was not exported.`);
  if (/[?&]since=[1-9]/.test(path)) return news((await response.json()) as Told);
  const type = path.split("?")[0].endsWith("/view") ? "application/x-safetensors" : "application/json";
  return new Response(await response.arrayBuffer(), { headers: { "content-type": type } });
}

/** Rows since the last time: an exported run is over. */
const news = (told: Told): Response => json({ ...told, restart: false, columns: Object.fromEntries(Object.keys(told.columns).map((name) => [name, []])) });

async function configured(): Promise<Config> {
  config ??= fetch("config.json").then((response) => response.json() as Promise<Config>);
  return config;
}

/** The hole's size where it was exported, else the sizes that were. */
async function hole(kind: string, asked: Asked, size: number[]): Promise<Pack | Response> {
  const key = `${kind}/${asked.run}/${asked.input}`;
  const there = ((await configured()).packs[key] ?? []).filter((name) => name !== "shares");
  if (!there.includes(sizeOf(size))) return missing(there.length ? `Holes of ${there.join(", ")} were computed beforehand, this one is ${sizeOf(size)}.` : "No holes were computed beforehand for this input.");
  return (await pack(key, sizeOf(size))) ?? missing(`${key} was not exported.`);
}

async function placed(kind: string, asked: Asked): Promise<Response> {
  const [box, ...more] = asked.targets ?? [];
  if (!box || more.length || asked.context || (asked.mode ?? "strict") !== "strict") return missing("One hole at a time, with all the rest to see, was computed beforehand.");
  const { views } = await configured();
  if (asked.of && views[asked.of] !== views[asked.run]) return missing(`${asked.run} was exported with other inputs than ${asked.of}.`);
  const found = await hole(kind, asked, box.size);
  if (found instanceof Response) return found;
  const part = found.parts.find((one) => one.at?.join() === box.at.join());
  return part ? tensors(part.bytes) : missing(`No answer for a hole at ${box.at.join(", ")}.`);
}

async function swept(asked: Asked): Promise<Response> {
  const found = await hole("jepa", asked, asked.size ?? []);
  return found instanceof Response ? found : tensors(found.whole);
}

/** The nearest share that was exported; the answer says which. */
async function shared(asked: Asked): Promise<Response> {
  if (asked.hidden || asked.ratio == null || (asked.sampler ?? "random") !== "random" || asked.seed) return missing("Shares hidden at random with seed 0 were computed beforehand; nothing else.");
  const ratio = asked.ratio;
  const found = await pack(`mae/${asked.run}/${asked.input}`, "shares");
  if (!found) return missing("No shares were computed beforehand for this input.");
  const distance = (one: { share?: number }): number => Math.abs((one.share ?? Infinity) - ratio);
  return tensors(found.parts.reduce((best, one) => (distance(one) < distance(best) ? one : best)).bytes);
}

async function pack(key: string, name: string): Promise<Pack | null> {
  const file = `data/${key.replaceAll(":", "-")}/${name}.pack`;
  let found = packs.get(file);
  if (!found) {
    found = fetch(file).then(async (response) => (response.ok ? opened(await unzipped(await response.arrayBuffer())) : null));
    packs.set(file, found);
    // maps are ordered by insertion: the first is the oldest
    if (packs.size > KEPT) packs.delete(packs.keys().next().value as string);
  }
  return found;
}

/** Some servers take gzip for their own and unpack it on the way. */
export async function unzipped(data: ArrayBuffer): Promise<ArrayBuffer> {
  const [first, second] = new Uint8Array(data, 0, 2);
  if (first !== 0x1f || second !== 0x8b) return data;
  return new Response(new Blob([data]).stream().pipeThrough(new DecompressionStream("gzip"))).arrayBuffer();
}

/** The messages of a pack: each is a u32 length and a safetensors body, whose metadata say what was asked. */
export function opened(whole: ArrayBuffer): Pack {
  const parts: Pack["parts"] = [];
  const view = new DataView(whole);
  for (let at = 0; at + 4 <= whole.byteLength; ) {
    const length = view.getUint32(at, true);
    const bytes = whole.slice(at + 4, at + 4 + length);
    const header = JSON.parse(new TextDecoder().decode(new Uint8Array(bytes, 8, Number(new DataView(bytes).getBigUint64(0, true))))) as { __metadata__: { json: string } };
    const meta = JSON.parse(header.__metadata__.json) as { at?: number[]; share?: number };
    parts.push({ at: meta.at, share: meta.share, bytes });
    at += 4 + length;
  }
  return { whole, parts };
}
