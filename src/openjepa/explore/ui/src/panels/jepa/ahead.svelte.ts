import { post } from "../../lib/api";
import type { Ask } from "../../lib/ask.svelte";
import type { Box, Predicted } from "../../lib/types";
import { Sweep } from "./sweep.svelte";

export const PREDICT = "jepa/predict";
const PATIENCE = 25_000; // ms that filling the surprise map may take unasked

/** A question of this panel, in the order in which its parts are written into the keys of the cache. */
export type Question = { run: string; step: number | null; input: string; targets: Box[]; context: Box | null; mode: "strict" | "peek" };

/** What is computed while nobody moves anything: more samples to compare with, then every placement of the hole. */
export class Ahead {
  bank = $state.raw({ have: 0, want: 0, full: false });
  readonly sweep = new Sweep();
  #grown = "";

  constructor(readonly ask: Ask<Predicted>) {}

  /** `at` is the checkpoint on screen; `cost` the ms that a sweep would take; `ended` says that somebody moved. */
  async work(now: Question, grid: number[], time: number | null, at: number | null, cost: () => number, ended: () => boolean): Promise<void> {
    const key = `${now.run} ${at}`;
    try {
      while (this.#grown !== key && !ended()) {
        const before = this.bank.have;
        this.bank = (await post<typeof this.bank>("bank/grow", { run: now.run, step: now.step })).meta;
        if (!this.bank.full && before > 0) continue;
        // every reference moves with the bank: what was kept is of an older one
        this.sweep.forget();
        this.ask.clearKept();
        // whoever moved has asked something else meanwhile, and asks again once at rest
        if (ended()) return;
        await this.ask.send(PREDICT, { ...now, quick: false });
        if (this.bank.full) this.#grown = key;
      }
    } catch {
      return; // without a bank the strip shows dashes, and the next settle tries again
    }
    if (!ended() && cost() <= PATIENCE) this.fill(now, grid, time, at);
  }

  /** Asks the first hole at every place; of a video the time stays. */
  fill(now: Question, grid: number[], time: number | null, at: number | null): void {
    if (now.targets.length !== 1) return;
    const [hole] = now.targets;
    const { targets: _, ...rest } = now;
    const key = JSON.stringify([rest, hole.size, time === null ? null : hole.at[time], at]);
    const body = { ...rest, targets: [hole], size: hole.size, start: hole.at, quick: true };
    this.sweep.start(key, body, grid, hole.size, time, (where, answer) => {
      const one = { ...now, targets: [{ at: where, size: hole.size }], quick: true };
      if (!this.ask.kept(PREDICT, one)) this.ask.keep(PREDICT, one, answer);
    });
  }
}
