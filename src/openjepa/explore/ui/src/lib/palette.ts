// Colours for numbers. Stops are sampled from the published maps; between them we mix linearly, which stays monotone in lightness.
export type RGB = [number, number, number];
export type PaletteName = "viridis" | "cividis" | "diverging";

const hex = (text: string): RGB[] =>
  text.split(" ").map((code) => [0, 2, 4].map((at) => parseInt(code.slice(at, at + 2), 16)) as RGB);

const STOPS: Record<PaletteName, RGB[]> = {
  viridis: hex("440154 482878 3e4a89 31688e 26828e 1f9e89 35b779 6dcd59 b4de2c fde725"),
  cividis: hex("00224e 123570 3b496c 575d6d 707173 8a8678 a59c74 c3b369 e1cc55 fee838"),
  // blue (worse than the baseline) - white (equal) - orange (better)
  diverging: hex("0b3c6f 2f6fa8 7eb0d5 c9dfee f7f5f1 fbdcb8 f5ad66 d97a1f 9a4a06"),
};

/** The colour of a number in 0..1; outside is clamped. */
export function colour(palette: PaletteName, value: number): RGB {
  const stops = STOPS[palette];
  const at = Math.min(Math.max(value, 0), 1) * (stops.length - 1);
  const index = Math.min(Math.floor(at), stops.length - 2);
  const share = at - index;
  return [0, 1, 2].map((c) => Math.round(stops[index][c] * (1 - share) + stops[index + 1][c] * share)) as RGB;
}

export const css = ([r, g, b]: RGB): string => `rgb(${r} ${g} ${b})`;

/** A CSS gradient for the scale beside a map. */
export const gradient = (palette: PaletteName, direction = "to right"): string =>
  `linear-gradient(${direction}, ${STOPS[palette].map(css).join(", ")})`;

/** RGBA for one number per cell; what is no number stays transparent. */
export function paint(values: ArrayLike<number>, palette: PaletteName, low: number, high: number): Uint8ClampedArray<ArrayBuffer> {
  const out = new Uint8ClampedArray(values.length * 4);
  const span = high - low || 1;
  for (let i = 0; i < values.length; i++) {
    if (!Number.isFinite(values[i])) continue;
    const [r, g, b] = colour(palette, (values[i] - low) / span);
    out.set([r, g, b, 255], i * 4);
  }
  return out;
}

/** RGBA for three numbers in 0..1 per cell. */
export function paintRGB(values: ArrayLike<number>): Uint8ClampedArray<ArrayBuffer> {
  const count = values.length / 3;
  const out = new Uint8ClampedArray(count * 4);
  for (let i = 0; i < count; i++) {
    if (!Number.isFinite(values[i * 3])) continue;
    for (let c = 0; c < 3; c++) out[i * 4 + c] = values[i * 3 + c] * 255;
    out[i * 4 + 3] = 255;
  }
  return out;
}

/** Lightness only (first component), for eyes that do not tell the three colours apart. */
export function paintGrey(values: ArrayLike<number>): Uint8ClampedArray<ArrayBuffer> {
  const grey = new Float32Array(values.length);
  for (let i = 0; i < values.length; i++) grey[i] = values[i - (i % 3)];
  return paintRGB(grey);
}
