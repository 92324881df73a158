// Numbers as people read them; the exact value goes into `data-value` beside them.

const MISSING = "–";
const there = (value: number | null | undefined): value is number => typeof value === "number" && Number.isFinite(value);

/** Three significant digits; whole numbers keep all of theirs. */
export function number(value: number | null | undefined, digits = 3): string {
  if (!there(value)) return MISSING;
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e6)) return value.toExponential(digits - 1).replace("-", "−");
  return minus(size >= 10 ** digits ? value.toFixed(0) : Number(value.toPrecision(digits)).toString());
}

const minus = (text: string): string => text.replace(/^-/, "−");

/** A share with its sign: +75 %; the space does not break. */
export const percent = (value: number | null | undefined, sign = true): string =>
  there(value) ? `${value < 0 ? "−" : sign ? "+" : ""}${Math.abs(value * 100).toFixed(0)}\u00a0%` : MISSING;

/** 12 345 678 as 12.3 M. */
export function count(value: number | null | undefined): string {
  if (!there(value)) return MISSING;
  for (const [size, unit] of [[1e9, "G"], [1e6, "M"], [1e3, "k"]] as const) if (value >= size) return `${(value / size).toPrecision(3)} ${unit}`;
  return String(value);
}

/** For data-value: six digits, empty when there is no number. */
export const exact = (value: number | null | undefined): string => (there(value) ? Number(value.toPrecision(6)).toString() : "");

export const chance = (of: number): number => (of + 1) / 2;
