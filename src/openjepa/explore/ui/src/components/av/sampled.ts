import { post } from "../../lib/api";
import { mask } from "../../lib/boxes";
import { rectangles } from "../../lib/film";
import type { Box } from "../../lib/types";

const MOST = 64; // boxes in a question

export type Sampled = { boxes: Box[]; cells: Uint8Array; asked: number; seen: number };

/** What the run's own sampler hides at its step `number`, as boxes; null where it would take too many of them. */
export async function sampled(run: string, input: string, grid: number[], number: number): Promise<Sampled | null> {
  const { meta, tensors } = await post<{ kinds: unknown[]; steps: number }>("masks/sample", { run, input, n: 1, step: 0, seed: number, over: "batch" });
  const kind = number % meta.kinds.length;
  const [context, targets] = [tensors[`context${kind}`].data as Uint8Array, tensors[`targets${kind}`]];
  const cells = new Uint8Array(context.length);
  for (let i = 0; i < targets.data.length; i++) if (targets.data[i]) cells[i % cells.length] = 1;
  const boxes = rectangles(cells, grid);
  if (!boxes.length || boxes.length > MOST) return null;
  const share = (values: Uint8Array): number => values.reduce((sum, value) => sum + value, 0) / values.length;
  return { boxes, cells: mask(boxes, grid), asked: share(cells), seen: share(context) };
}
