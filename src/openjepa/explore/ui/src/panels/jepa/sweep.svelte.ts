import { stream, type Answer } from "../../lib/api";
import type { NdArray } from "../../lib/safetensors";
import type { Predicted } from "../../lib/types";

type Part = Predicted & { at: number[]; index: number; count: number };

/**
 * One hole at every place, nearest first: the energies are the surprise map, and each answer is kept so that
 * dragging there costs nothing.
 */
export class Sweep {
  /** Energy of the hole at each place, NaN where it was not asked yet. */
  map = $state.raw<NdArray | null>(null);
  done = $state(0);
  count = $state(0);
  running = $state(false);
  #stop: AbortController | null = null;
  #key = "";

  /** Goes on only for a new `key`: what is the same for all places. */
  start(key: string, body: object, grid: number[], size: number[], fixed: number | null, keep: (at: number[], answer: Answer<Predicted>) => void): void {
    if (key === this.#key && (this.running || this.done === this.count)) return;
    this.stop();
    if (key !== this.#key) {
      this.#key = key;
      this.done = 0;
      const shape = grid.map((length, axis) => (axis === fixed ? 1 : length - size[axis] + 1));
      const energies = new Float32Array(shape.reduce((product, length) => product * length, 1)).fill(NaN);
      this.map = { shape, data: energies };
    }
    const stop = (this.#stop = new AbortController());
    this.running = true;
    void this.#run(body, fixed, keep, stop.signal).finally(() => {
      if (this.#stop === stop) this.running = false;
    });
  }

  stop(): void {
    this.#stop?.abort();
    this.#stop = null;
    this.running = false;
  }

  forget(): void {
    this.stop();
    this.#key = "";
    this.map = null;
    this.done = this.count = 0;
  }

  async #run(body: object, fixed: number | null, keep: (at: number[], answer: Answer<Predicted>) => void, signal: AbortSignal): Promise<void> {
    let shown = 0;
    try {
      await stream<Part>(
        "jepa/sweep",
        body,
        ({ meta, tensors }) => {
          if (signal.aborted || !this.map) return;
          const { shape, data } = this.map;
          const index = meta.at.reduce((sum, place, axis) => sum * shape[axis] + (axis === fixed ? 0 : place), 0);
          (data as Float32Array)[index] = meta.total.energy;
          keep(meta.at, { meta, tensors });
          this.count = meta.count;
          this.done = meta.index + 1;
          // a new object makes it repaint; not for each of hundreds of parts
          const now = performance.now();
          if (now - shown > 120 || this.done === this.count) {
            shown = now;
            this.map = { shape, data };
          }
        },
        signal,
      );
    } catch {
      /* stopped, or the server went: what is there stays, and the next settle goes on */
    }
  }
}
