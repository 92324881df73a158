import { getJSON, part, Problem } from "./api";
import { app } from "./app.svelte";
import { append, wait, type Columns } from "./curves";

type Told = {
  cursor: number;
  file: string;
  restart: boolean;
  rows: number;
  thinned: number | null;
  skipped: number;
  keys: string[];
  status: string;
  steps: number | null;
  columns: Columns;
};

/** The metrics of a run, read on while they are written: every second while they change and the tab is seen, else less often. */
export class Metrics {
  columns = $state.raw<Columns>({ step: [], segment: [] });
  /** How many of the first rows are pairs, least and largest of a bucket. */
  paired = $state(0);
  /** Rows behind each pair; null when every row is here. */
  bucket = $state<number | null>(null);
  status = $state("");
  steps = $state<number | null>(null);
  skipped = $state(0);
  loaded = $state(false);
  problem = $state.raw<Problem | null>(null);
  #cursor = 0;
  #file = "";
  #full = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #ended = false;
  #forget: () => void;

  constructor(
    readonly run: string,
    readonly keys: string[],
  ) {
    this.#forget = app.whenBack(() => this.#again(0));
    document.addEventListener("visibilitychange", this.#seen);
    void this.#look();
  }

  /** Every row instead of buckets, as when one looks closely. */
  whole(): void {
    if (this.#full || this.bucket === null) return;
    this.#full = true;
    this.#file = "";
    this.#again(0);
  }

  stop(): void {
    this.#ended = true;
    clearTimeout(this.#timer);
    document.removeEventListener("visibilitychange", this.#seen);
    this.#forget();
  }

  #seen = (): void => {
    if (!document.hidden) this.#again(0);
  };

  #again(ms: number): void {
    clearTimeout(this.#timer);
    if (!this.#ended) this.#timer = setTimeout(() => void this.#look(), ms);
  }

  async #look(): Promise<void> {
    if (document.hidden && this.loaded) return; // back when it is seen
    let changed = false;
    try {
      const file = this.#file ? `&file=${this.#file}&since=${this.#cursor}` : "";
      const told = await getJSON<Told>(`runs/${part(this.run)}/metrics?keys=${this.keys.map(part).join(",")}${file}${this.#full ? "&full=1" : ""}`);
      if (this.#ended) return;
      changed = this.#take(told, !this.#file);
    } catch (error) {
      if (this.#ended) return;
      this.problem = error instanceof Problem ? error : new Problem(0, "The metrics could not be read", String(error));
      if (this.problem.status === 0) return; // the page says so, and asks again when the server is back
    }
    this.#again(wait(this.status === "running" && !this.problem, changed));
  }

  #take(told: Told, first: boolean): boolean {
    const changed = told.restart || told.cursor !== this.#cursor;
    if (first || told.restart) {
      this.columns = told.columns;
      this.bucket = told.thinned;
      this.paired = told.thinned === null ? 0 : told.columns.step.length;
    } else if (told.columns.step.length) this.columns = append(this.columns, told.columns);
    [this.#cursor, this.#file] = [told.cursor, told.file];
    [this.status, this.steps, this.skipped, this.loaded, this.problem] = [told.status, told.steps, told.skipped, true, null];
    return changed && !first;
  }
}

/** All columns of a run, row by row. */
export const everything = async (run: string): Promise<Columns> => (await getJSON<Told>(`runs/${part(run)}/metrics?full=1`)).columns;
