// Curves before they are drawn: pieces between resumes, smoothing, one x for all, CSV.

export type Value = number | null;
export type Columns = { step: number[]; segment: number[] } & Record<string, (Value | string)[]>;
/** Part of a curve over which x only grows. `undefined` in y: nothing is known there, and the line goes on; null: a gap. */
export type Piece = { x: number[]; y: (Value | undefined)[] };

/** The parts of a curve between which the run went back to an earlier checkpoint. */
export function split(x: Value[], y: Value[], segment: number[]): Piece[] {
  const pieces: Piece[] = [];
  for (let i = 0; i < x.length; i++) {
    const at = x[i];
    if (at === null) continue;
    if (!pieces.length || segment[i] !== segment[i - 1]) pieces.push({ x: [], y: [] });
    const piece = pieces[pieces.length - 1];
    piece.x.push(at);
    piece.y.push(y[i] ?? null);
  }
  return pieces;
}

/**
 * Exponential mean of what came before, without the pull of its start: `weight` 0 is the curve itself, 0.9 looks back about ten rows.
 * The first `paired` values come in pairs, least and largest of a bucket, and their middle is what is averaged.
 */
export function smooth(y: (Value | undefined)[], weight: number, paired = 0): (Value | undefined)[] {
  if (weight <= 0) return y;
  let [sum, norm] = [0, 0];
  const add = (value: number): number => {
    sum = weight * sum + (1 - weight) * value;
    norm = weight * norm + (1 - weight);
    return sum / norm;
  };
  const out: (Value | undefined)[] = [];
  for (let i = 0; i < y.length; i++) {
    const value = y[i];
    if (value === null || value === undefined) {
      out.push(value);
      continue;
    }
    const other = i + 1 < paired && i % 2 === 0 ? y[i + 1] : null;
    if (other === null || other === undefined) out.push(add(value));
    else {
      const mean = add((value + other) / 2);
      out.push(mean, mean);
      i++;
    }
  }
  return out;
}

/** All pieces over one ascending x, as the chart wants them. */
export function join(pieces: Piece[]): { x: number[]; ys: (Value | undefined)[][] } {
  const all = Float64Array.from([...new Set(pieces.map((piece) => piece.x))].flat()).sort();
  const x = all.filter((value, i) => i === 0 || value !== all[i - 1]);
  const ys = pieces.map((piece) => {
    const y = new Array<Value | undefined>(x.length).fill(undefined);
    let at = 0;
    for (let i = 0; i < piece.x.length; i++) {
      while (x[at] < piece.x[i]) at++;
      y[at] = piece.y[i];
    }
    return y;
  });
  return { x: Array.from(x), ys };
}

/** The value at a place, or the last known one before it. */
export function before(y: (Value | undefined)[], at: number): Value {
  for (let i = Math.min(at, y.length - 1); i >= 0; i--) {
    const value = y[i];
    if (value !== undefined && value !== null) return value;
  }
  return null;
}

/** The last number of a column. */
export const lastOf = (y: (Value | string)[] | undefined): Value => {
  for (let i = (y?.length ?? 0) - 1; i >= 0; i--) {
    const value = y?.[i];
    if (typeof value === "number") return value;
  }
  return null;
};

/** `most` of n places, or all, evenly from the first to the last. */
export function spread(n: number, most: number): number[] {
  const count = Math.min(n, most);
  return Array.from({ length: count }, (_, i) => (count === 1 ? 0 : Math.round((i * (n - 1)) / (count - 1))));
}

/** Rows below a head; empty cells where there is no number. Texts are quoted where CSV wants it. */
export function csv(columns: Record<string, (Value | string)[]>): string {
  const names = Object.keys(columns);
  const cell = (value: Value | string | undefined): string => {
    if (value === null || value === undefined) return "";
    const text = String(value);
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  const rows = Array.from({ length: names.length ? columns[names[0]].length : 0 }, (_, i) => names.map((name) => cell(columns[name][i])).join(","));
  return [names.map(cell).join(","), ...rows].join("\n") + "\n";
}

/** Rows that came since, behind those that were there. A column that is new has nothing before. */
export function append(old: Columns, more: Columns): Columns {
  const [before, added] = [old.step.length, more.step.length];
  const nothing = (count: number): null[] => new Array<null>(count).fill(null);
  const out: Record<string, (Value | string)[]> = {};
  for (const key of new Set([...Object.keys(old), ...Object.keys(more)])) out[key] = [...(old[key] ?? nothing(before)), ...(more[key] ?? nothing(added))];
  return out as Columns;
}

/** Milliseconds until the file is looked at again. */
export const wait = (running: boolean, changed: boolean): number => (changed ? 1000 : running ? 5000 : 30000);

/** 8 s, 3 min, 2 h 05 min. */
export function duration(seconds: number | null): string {
  if (seconds === null || !Number.isFinite(seconds)) return "–";
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${String(whole % 60).padStart(2, "0")} s`;
  return `${Math.floor(whole / 3600)} h ${String(Math.floor((whole % 3600) / 60)).padStart(2, "0")} min`;
}

/** 1 600 steps, with a thin space where thousands end. */
export const grouped = (value: number): string => value.toLocaleString("en").replaceAll(",", "\u2009");
