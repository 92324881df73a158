import { untrack } from "svelte";
import { call, Problem, type Answer } from "./api";
import { app } from "./app.svelte";

export type AskState = "settled" | "loading" | "stale" | "problem";

const LARGEST = 48e6; // bytes of answers kept per question: pictures weigh more than maps
const weight = (answer: Answer<unknown>): number => Object.values(answer.tensors).reduce((sum, tensor) => sum + tensor.data.byteLength, 1000);

/**
 * A question of a panel and its newest answer, which stays (stale) until the next one is there.
 *
 *     const ask = new Ask<Meta>("mae");           // one in flight of this name, latest wins
 *     $effect(() => ask.send("mae/predict", body));
 *     ask.answer?.meta.mse, ask.state, ask.problem
 *
 * `remember` answers are kept by their question, so that going back to one costs nothing.
 * Make it while a component is set up: it asks again when the server was gone and came back.
 */
export class Ask<M> {
  answer = $state.raw<Answer<M> | null>(null);
  /** The body that `answer` belongs to. */
  asked = $state.raw<unknown>(null);
  state = $state<AskState>("loading");
  problem = $state.raw<Problem | null>(null);
  #kept = new Map<string, Answer<M>>();
  #bytes = 0;
  #sent = 0;
  #shown = 0;
  #last: { path: string; body: unknown } | null = null;

  constructor(
    readonly panel: string,
    readonly remember = 0,
  ) {
    $effect(() => app.whenBack(() => this.#last && void this.send(this.#last.path, this.#last.body)));
  }

  /** The key of a question; a run that still trains has a new last checkpoint now and then. */
  static key(path: string, body: unknown): string {
    const run = app.runs.find((run) => run.id === (body as { run?: string }).run);
    return `${path} ${run?.checkpoints.at(-1)} ${JSON.stringify(body)}`;
  }

  kept = (path: string, body: unknown): Answer<M> | undefined => this.#kept.get(Ask.key(path, body));

  keep(path: string, body: unknown, answer: Answer<M>): void {
    if (!this.remember) return;
    const key = Ask.key(path, body);
    this.#drop(key);
    this.#kept.set(key, answer);
    this.#bytes += weight(answer);
    // Maps are ordered by insertion: the first is the oldest
    while (this.#kept.size > this.remember || (this.#bytes > LARGEST && this.#kept.size > 1)) this.#drop(this.#kept.keys().next().value as string);
  }

  #drop(key: string): void {
    const old = this.#kept.get(key);
    if (old) this.#bytes -= weight(old);
    this.#kept.delete(key);
  }

  clearKept = (): void => {
    this.#kept.clear();
    this.#bytes = 0;
  };

  /** Never rejects: what went wrong is in `problem`. */
  send(path: string, body: unknown): Promise<Answer<M> | null> {
    // an effect that asks depends on its question alone
    return untrack(() => this.#send(path, body));
  }

  async #send(path: string, body: unknown): Promise<Answer<M> | null> {
    const number = ++this.#sent;
    this.#last = { path, body };
    const known = this.kept(path, body);
    if (known) {
      this.#show(number, known, body);
      return known;
    }
    this.state = this.answer ? "stale" : "loading";
    try {
      const answer = await call<M>(this.panel, path, body);
      if (!answer) return null;
      this.keep(path, body, answer);
      this.#show(number, answer, body);
      return answer;
    } catch (error) {
      if (number !== this.#sent) return null;
      this.problem = error instanceof Problem ? error : new Problem(0, "The page could not read the answer", String(error));
      this.state = "problem";
      return null;
    }
  }

  /** Forgets the answer, for instance as it belongs to another run. */
  clear(): void {
    this.#shown = ++this.#sent;
    this.#last = null;
    this.answer = null;
    this.asked = null;
    this.problem = null;
    this.state = "loading";
  }

  #show(number: number, answer: Answer<M>, body: unknown): void {
    // an answer that was overtaken by a newer one is of no use
    if (number < this.#shown) return;
    this.#shown = number;
    this.answer = answer;
    this.asked = body;
    if (number !== this.#sent) return;
    this.problem = null;
    this.state = "settled";
  }
}
