// What the server sends; one type per dataclass there.

/** A block of tokens: one number per axis of the run's grid. */
export type Box = { at: number[]; size: number[] };

/** Which axis of the grid lies where on the screen; `up`: the vertical axis grows upwards (mel). */
export type Screen = { x: number; y: number | null; t: number | null; up: boolean };

export type PanelId = "run" | "mae" | "jepa" | "video" | "audio" | "heads" | "masks";

export type Capability = { panel: PanelId; ok: boolean; why: string; fix: string };

export type RunInfo = {
  id: string;
  name: string;
  objective: string;
  modality: string;
  status: string;
  recipe: string | null;
  step: number;
  steps: number | null;
  loss: number | null;
  verdict: string | null;
  knn: number | null;
  updated: string | null;
  checkpoints: number[];
  params: number | null;
  grid: number[];
  size: number[];
  patch: number[];
  screen: Screen | null;
  distance: string;
  union: boolean;
  capabilities: Capability[];
  pair: string | null;
  bundled: boolean;
  probe: string | null;
};

export type InputInfo = { id: string; name: string; label: string | null; source: "data" | "upload" };

export type Meta = {
  version: string;
  device: string;
  threads: number;
  bundled: boolean;
  live: boolean;
  read_only: boolean;
  uploads: { max_bytes: number; max_pixels: number };
};

export type ViewMeta = { name: string; label: string | null; fps: number | null; seconds: number | null; note: string | null };

/** Of one hole, or of all. Skill is 1 - energy / the reference's energy; ranks are [rank, of how many], 1 is best. */
export type Score = {
  energy: number;
  mean: number | null;
  gist: number | null;
  copy: number | null;
  rank_image: [number, number] | null;
  rank_bank: [number, number] | null;
};

/** Everything beside the maps of an answer to jepa/predict. */
export type Predicted = {
  scores: Score[];
  total: Score;
  loss: number;
  explained: number;
  land_true: number[];
  land_min: number[];
  bank: number;
  timing: Record<string, number>;
  python: string;
};
