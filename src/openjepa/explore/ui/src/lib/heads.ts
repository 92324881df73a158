// What a head's answer is made of, and words for it. A part of a kind that is not here is shown as JSON.
import type { HeadShown } from "./api.gen";

export type ClassesPart = { kind: "classes"; names: string[]; probabilities: number[]; of: number };
export type NeighboursPart = { kind: "neighbours"; names: string[]; rows: number[]; similarities: number[]; labels: string[]; inputs: (string | null)[] };
export type TokensPart = { kind: "tokens"; values: number[]; shape: number[]; about: string };
export type TextPart = { kind: "text"; text: string };
export type AnyPart = Record<string, unknown>;

const list = (value: unknown): boolean => Array.isArray(value);
export const isClasses = (part: AnyPart): part is ClassesPart => part.kind === "classes" && list(part.names) && list(part.probabilities);
export const isNeighbours = (part: AnyPart): part is NeighboursPart => part.kind === "neighbours" && list(part.names) && list(part.inputs);
export const isTokens = (part: AnyPart): part is TokensPart => part.kind === "tokens" && list(part.values) && list(part.shape);
export const isText = (part: AnyPart): part is TextPart => part.kind === "text" && typeof part.text === "string";

const KINDS: Record<string, string> = {
  linear: "Linear probe",
  knn: "Vote of neighbours",
  attentive: "Attentive probe",
  nearest: "Most alike, without labels",
};

export const titleOf = (head: HeadShown): string => KINDS[head.kind] ?? head.kind;

/** How features are taken, where it is not the last layer's mean token. */
export function taken(head: HeadShown): string {
  const { pooling, layer } = head.settings as { pooling?: string; layer?: number };
  const pooled = { last4: "last 4 layers", places: "all places" }[pooling ?? ""] ?? "";
  return [pooled, layer !== undefined && layer !== -1 ? `layer ${layer}` : ""].filter(Boolean).join(", ");
}

const FLOORS: Record<string, string> = {
  untrained: "untrained encoder",
  pixels: "raw pixels",
  summary: "simple summary",
  majority: "always the commonest",
  chance: "chance",
};

export type Bar = { id: string; label: string; value: number; low?: number; high?: number; lead: boolean };

/** The head's accuracy and beside it everything that it has to beat. */
export function bars(head: HeadShown): Bar[] {
  const floors = Object.entries(head.floors).map(([id, value]) => ({ id, label: FLOORS[id] ?? id, value, lead: false }));
  if (head.accuracy === null) return floors;
  return [{ id: "accuracy", label: "this head", value: head.accuracy, low: head.low ?? undefined, high: head.high ?? undefined, lead: true }, ...floors];
}

/** Those of the checkpoint on screen first, then the newest; the head without labels last. */
export function ordered(heads: readonly HeadShown[], at: number | null): HeadShown[] {
  const place = (head: HeadShown): number => (head.step === null ? -2 : head.step === at ? Infinity : head.why ? -1 : head.step);
  return [...heads].sort((a, b) => place(b) - place(a));
}
