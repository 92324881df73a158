import { post } from "../../lib/api";
import { app } from "../../lib/app.svelte";

type Bank = { have: number; want: number; full: boolean };

/** Other inputs to compare with: read a few at a time while nothing else is asked. Make it while a component is set up. */
export class References {
  bank = $state.raw<Bank>({ have: 0, want: 0, full: false });

  /** `wanted` is the run, or null; `more` is called with their number after the first few and when all are there. */
  constructor(wanted: () => string | null, more: (have: number) => unknown) {
    $effect(() => {
      const run = wanted();
      const [step] = [app.step, app.at];
      if (run === null) return;
      let ended = false;
      const timer = setTimeout(async () => {
        try {
          for (let first = true, full = false; !full && !ended; first = false) {
            const { meta } = await post<Bank>("bank/grow", { run, step });
            full = meta.full;
            if (ended) return;
            this.bank = meta;
            if (first || full) await more(meta.have);
          }
        } catch {
          // without them the strip shows dashes, and the next input tries again
        }
      }, 400);
      return () => {
        ended = true;
        clearTimeout(timer);
      };
    });
  }
}
