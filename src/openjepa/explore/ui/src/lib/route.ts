// The page's whole state lives behind the #: `#/jepa?run=shapes&in=data:12&tgt=5,5,4,4;1,9,3,3`.
import type { Box, PanelId } from "./types";

export const PANELS: PanelId[] = ["run", "mae", "jepa", "video", "audio", "heads", "masks"];
export type Params = Record<string, string>;
export type Route = { panel: PanelId | null; params: Params };

/** How one value is written in the address; `parse` gives null for what it cannot read, and the default is used. */
export type Codec<T> = { default: T; parse: (text: string) => T | null; format: (value: T) => string };
export type Schema = Record<string, Codec<any>>;
export type Values<S extends Schema> = { [K in keyof S]: S[K] extends Codec<infer T> ? T : never };

/** Short enough to read, exact enough for what people set by hand. */
const short = (value: number): string => String(Number(value.toPrecision(6)));

export const num = (initial: number, low = -Infinity, high = Infinity): Codec<number> => ({
  default: initial,
  parse: (text) => {
    const value = Number(text);
    return text.trim() !== "" && Number.isFinite(value) && value >= low && value <= high ? value : null;
  },
  format: short,
});

export const int = (initial: number, low = -Infinity, high = Infinity): Codec<number> => ({
  ...num(initial, low, high),
  parse: (text) => (/^-?\d+$/.test(text) && Number(text) >= low && Number(text) <= high ? Number(text) : null),
});

export const text = (initial: string): Codec<string> => ({ default: initial, parse: (value) => value, format: (value) => value });

export const flag = (initial: boolean): Codec<boolean> => ({
  default: initial,
  parse: (value) => (value === "1" ? true : value === "0" ? false : null),
  format: (value) => (value ? "1" : "0"),
});

export const choice = <T extends string>(initial: T, ...others: T[]): Codec<T> => ({
  default: initial,
  parse: (value) => ([initial, ...others] as string[]).includes(value) ? (value as T) : null,
  format: (value) => value,
});

export const list = (initial: string[]): Codec<string[]> => ({
  default: initial,
  parse: (value) => (value === "" ? [] : value.split(",").map(decodeURIComponent)),
  format: (value) => value.map(encodeURIComponent).join(","),
});

const box = (text: string): Box | null => {
  const numbers = text.split(",").map((part) => (/^\d+$/.test(part) ? Number(part) : NaN));
  if (numbers.length < 2 || numbers.length % 2 || numbers.some(Number.isNaN)) return null;
  const half = numbers.length / 2;
  const size = numbers.slice(half);
  return size.every((count) => count > 0) ? { at: numbers.slice(0, half), size } : null;
};

/** `at` then `size`, holes separated by semicolons: `5,5,4,4;1,9,3,3`. */
export const boxes = (initial: Box[] = []): Codec<Box[]> => ({
  default: initial,
  parse: (value) => {
    const found = value === "" ? [] : value.split(";").map(box);
    return found.includes(null) ? null : (found as Box[]);
  },
  format: (value) => value.map(({ at, size }) => [...at, ...size].join(",")).join(";"),
});

/** A set of whole numbers, runs shortened: `3-9,12`. */
export const numbers = (initial: number[] = []): Codec<number[]> => ({
  default: initial,
  parse: (value) => {
    const found: number[] = [];
    for (const piece of value === "" ? [] : value.split(",")) {
      const match = /^(\d+)(?:-(\d+))?$/.exec(piece);
      const [first, last] = match ? [Number(match[1]), Number(match[2] ?? match[1])] : [1, 0];
      // a hostile link must not make the page count to a billion
      if (last < first || last - first > 1e5) return null;
      for (let i = first; i <= last; i++) found.push(i);
    }
    return found;
  },
  format: (value) => {
    const sorted = [...new Set(value)].sort((a, b) => a - b);
    const pieces: string[] = [];
    for (let i = 0; i < sorted.length; i++) {
      const first = sorted[i];
      while (sorted[i + 1] === sorted[i] + 1) i++;
      pieces.push(first === sorted[i] ? `${first}` : `${first}-${sorted[i]}`);
    }
    return pieces.join(",");
  },
});

/** Values for every key of the schema, and the keys that could not be read. */
export function read<S extends Schema>(schema: S, params: Params): { values: Values<S>; bad: string[] } {
  const bad: string[] = [];
  const values = {} as Record<string, unknown>;
  for (const [key, codec] of Object.entries(schema)) {
    const parsed = key in params ? codec.parse(params[key]) : codec.default;
    if (parsed === null) bad.push(key);
    values[key] = parsed ?? codec.default;
  }
  return { values: values as Values<S>, bad };
}

/** Only what differs from the default, so that links stay short. */
export function write<S extends Schema>(schema: S, values: Partial<Values<S>>): Params {
  const params: Params = {};
  for (const [key, codec] of Object.entries(schema)) {
    const value = values[key as keyof S];
    if (value === undefined) continue;
    const written = codec.format(value);
    if (written !== codec.format(codec.default)) params[key] = written;
  }
  return params;
}

export function parseHash(hash: string): Route {
  const match = /^#?\/?([^?]*)\??(.*)$/s.exec(hash);
  const name = (match?.[1] ?? "") as PanelId;
  const params: Params = {};
  for (const [key, value] of new URLSearchParams(match?.[2] ?? "")) params[key] = value;
  return { panel: PANELS.includes(name) ? name : null, params };
}

export function formatHash(route: Route): string {
  const query = new URLSearchParams(Object.entries(route.params)).toString();
  // these are legal behind a #, and the address stays readable
  const readable = query.replaceAll("%3A", ":").replaceAll("%2C", ",").replaceAll("%3B", ";").replaceAll("%7E", "~");
  return `#/${route.panel ?? ""}${readable ? `?${readable}` : ""}`;
}
