// Made by `python -m openjepa.explore.schema` from the server's dataclasses; do not edit.

export type BankAsked = {
  run: string;
  step?: number | null;
};

export type Below = {
  sha256: string;
  same: boolean;
  parameters: number;
  trainable: number;
  step: number;
};

export type Box = {
  at: number[];
  size: number[];
};

export type Broken = {
  id: string;
  why: string;
};

export type Capability = {
  panel: string;
  ok: boolean;
  why: string;
  fix: string;
};

export type Curve = {
  ratios: number[];
  mean: number[];
  low: number[];
  high: number[];
};

export type CurveAsked = {
  run: string;
  input: string;
  ratios: number[];
  seeds: number;
  step?: number | null;
  sampler?: "random" | "block" | "grid";
};

export type Decoded = {
  r2_true: number;
  r2_guess: number;
  bank: number;
  python: string;
};

export type Edit = {
  kind: "none" | "reverse" | "teleport" | "freeze" | "swap";
  at: number;
  until: number | null;
  shift: [number, number];
};

export type Failure = {
  name: string;
  truth: string;
  guess: string;
  input: string | null;
};

export type Grown = {
  have: number;
  want: number;
  full: boolean;
};

export type HeadAnswer = {
  head: string;
  parts: Record<string, unknown>[];
  encoder: Below;
  note: string;
  have: number;
  want: number;
  timing: Record<string, number>;
  python: string;
};

export type HeadAsked = {
  run: string;
  input: string;
  head: string;
  step?: number | null;
};

export type HeadShown = {
  name: string;
  kind: string;
  question: string;
  classes: number;
  parameters: number;
  step: number | null;
  accuracy: number | null;
  low: number | null;
  high: number | null;
  samples: number;
  floors: Record<string, number>;
  data: string;
  test: string;
  settings: Record<string, unknown>;
  source: Record<string, unknown>;
  created: string;
  failures: Failure[];
  own: boolean;
  why: string;
};

export type Heads = {
  heads: HeadShown[];
  problems: string[];
  fix: string;
};

export type Hit = {
  input: string;
  name: string;
  at: number[];
  size: number[];
  distance: number;
};

export type InputInfo = {
  id: string;
  name: string;
  label: string | null;
  source: string;
};

export type InputPage = {
  total: number;
  items: InputInfo[];
  note: string;
};

export type JepaAsked = {
  run: string;
  input: string;
  targets: Box[];
  step?: number | null;
  context?: Box | null;
  mode?: "strict" | "peek";
  quick?: boolean;
};

export type Limits = {
  max_bytes: number;
  max_pixels: number;
};

export type MaeAsked = {
  run: string;
  input: string;
  of?: string | null;
  step?: number | null;
  ratio?: number | null;
  seed?: number;
  sampler?: "random" | "block" | "grid";
  hidden?: number[] | null;
  targets?: Box[] | null;
};

export type MasksAsked = {
  run: string;
  input?: string | null;
  n?: number;
  seed?: number | null;
  step?: number;
  over?: "batch" | "steps";
};

export type Meta = {
  version: string;
  torch: string;
  device: string;
  threads: number;
  bundled: boolean;
  live: boolean;
  read_only: boolean;
  uploads: Limits;
};

export type Moved = {
  who: "trained" | "untrained";
  pixels: number;
  noise: number;
  structured: number;
  selectivity: number | null;
};

export type Neighbours = {
  hits: Hit[];
  bank: number;
  python: string;
};

export type NeighboursAsked = {
  run: string;
  input: string;
  targets: Box[];
  step?: number | null;
  context?: Box | null;
  mode?: "strict" | "peek";
  quick?: boolean;
  target?: number;
  k?: number;
};

export type Noise = {
  rows: Moved[];
  python: string;
};

export type NoiseAsked = {
  run: string;
  input: string;
  targets: Box[];
  step?: number | null;
  kind?: "noise" | "shuffle";
  amount?: number;
  seed?: number;
};

export type Nothing = {
};

export type Painted = {
  mse: number;
  skill: Skills;
  constant_mse: number;
  inpaint_mse: number;
  norm_pix: boolean;
  leaks: boolean;
  ratio: number;
  python: string;
};

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
  at: number[];
  index: number;
  count: number;
};

export type RenderAsked = {
  run: string;
  input: string;
  targets?: Box[];
  what?: "original" | "context" | "hidden" | "nearest";
  step?: number | null;
  target?: number;
  context?: Box | null;
  mode?: "strict" | "peek";
};

export type Row = {
  key: string;
  name: string;
  values: (number | null)[];
  best: number[];
  tied: number[];
  low: (number | null)[];
  high: (number | null)[];
  note: string;
};

export type RunInfo = {
  id: string;
  name: string;
  objective: string;
  modality: string;
  status: string;
  recipe: string | null;
  step: number | null;
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
  bundled: boolean;
  probe: string | null;
  pair: string | null;
};

export type Runs = {
  runs: RunInfo[];
  broken: Broken[];
};

export type Score = {
  energy: number;
  mean: number | null;
  gist: number | null;
  copy: number | null;
  rank_image: [number, number] | null;
  rank_bank: [number, number] | null;
};

export type Screen = {
  x: number;
  y: number | null;
  t: number | null;
  up: boolean;
};

export type Skills = {
  mean_colour: number | null;
  inpaint: number | null;
};

export type Status = {
  run: string | null;
  state: string;
  step: number;
  steps: number;
  log: string[];
};

export type SurpriseAsked = {
  run: string;
  input: string;
  step?: number | null;
  edit?: Edit;
  sees?: "past" | "whole";
};

export type SweepAsked = {
  run: string;
  input: string;
  targets: Box[];
  step?: number | null;
  context?: Box | null;
  mode?: "strict" | "peek";
  quick?: boolean;
  size: number[];
  start: number[];
};

export type ViewMeta = {
  name: string;
  label: string | null;
  fps: number | null;
  seconds: number | null;
  note: string;
};
