// What all panels share: runs, the run, its checkpoint, its inputs, and what is in the address.
import { getArrays, getJSON, part, Problem, reach, upload as send, type NdArray } from "./api";
import { store, stored } from "./memory";
import { formatHash, parseHash, type Params } from "./route";
import type { Capability, InputInfo, Meta, PanelId, RunInfo, ViewMeta } from "./types";

/** The input as a person sees it: frames u8[t, h, w, 3]. */
export type View = { run: string; input: string; frames: NdArray; meta: ViewMeta };
export type Toast = { id: number; text: string };
type Theme = "auto" | "light" | "dark";

// these keys mean the same on every panel; all others belong to the panel on screen
const SHARED = ["run", "ckpt", "in", "embed", "hide"];
const PAGE = 48;

/** The run to begin with: pictures that a model can be asked about, of the user's own runs if there are any. */
function first(runs: RunInfo[]): RunInfo | null {
  const worth = (run: RunInfo): number => (run.capabilities.some((can) => can.panel === "jepa" && can.ok) ? 2 : 0) + (run.modality === "images" ? 1 : 0) + (run.bundled ? 0 : 4);
  return runs.reduce<RunInfo | null>((best, run) => (best && worth(best) >= worth(run) ? best : run), null);
}

class App {
  meta = $state.raw<Meta | null>(null);
  runs = $state.raw<RunInfo[]>([]);
  broken = $state.raw<{ id: string; why: string }[]>([]);
  loaded = $state(false);
  panel = $state<PanelId>("jepa");
  params = $state<Params>({});
  inputs = $state.raw<{ run: string; total: number; items: InputInfo[] }>({ run: "", total: 0, items: [] });
  view = $state.raw<View | null>(null);
  viewProblem = $state.raw<Problem | null>(null);
  gone = $state(false);
  python = $state("");
  theme = $state<Theme>((stored("theme") as Theme | null) ?? "auto");
  letters = $state(stored("letters") !== "off");
  toasts = $state<Toast[]>([]);
  uploading = $state(0);
  said = $state("");

  #chosen = $derived(this.runs.find((run) => run.id === this.params.run));
  /** The run on screen: the one in the address, else the first that can predict. */
  run: RunInfo | null = $derived(this.params.run === undefined ? first(this.runs) : (this.#chosen ?? null));
  /** Its id: unlike `run` it stays the same while the run's numbers move on. */
  runId: string | null = $derived(this.run?.id ?? null);
  /** The checkpoint asked for; null is the last one. */
  step: number | null = $derived(/^\d+$/.test(this.params.ckpt ?? "") ? Number(this.params.ckpt) : null);
  /** The checkpoint on screen, a number also when the last one was asked for; changes when a run that trains writes a new one. */
  at: number | null = $derived(this.step ?? this.run?.checkpoints.at(-1) ?? null);
  input: string | null = $derived(this.params.in ?? (this.inputs.run === this.runId ? (this.inputs.items[0]?.id ?? null) : null));
  embed: boolean = $derived(this.params.embed === "1");
  hidden: string[] = $derived((this.params.hide ?? "").split(","));

  #timer: ReturnType<typeof setTimeout> | undefined;
  #back = new Set<() => void>();
  #remembered = new Map<PanelId, Params>();
  #toast = 0;

  /** What the run can do on a panel; null while nothing is known. */
  can(panel: PanelId): Capability | null {
    return this.run?.capabilities.find((can) => can.panel === panel) ?? null;
  }

  /** Writes into the address; null takes a key out. `push`: the browser's back button returns to before. */
  set(changes: Record<string, string | null>, push = false): void {
    for (const [key, value] of Object.entries(changes)) {
      if (value === null) delete this.params[key];
      else if (this.params[key] !== value) this.params[key] = value;
    }
    this.#write(push);
  }

  go(panel: PanelId, changes: Params = {}): void {
    this.#remembered.set(this.panel, $state.snapshot(this.params));
    const kept = { ...this.#own(this.#remembered.get(panel) ?? {}), ...this.#shared() };
    this.panel = panel;
    this.params = { ...kept, ...changes };
    this.#write(true);
  }

  /** Where a link to that panel leads, with the shared part of the state. */
  href = (panel: PanelId, changes: Params = {}): string => formatHash({ panel, params: { ...this.#shared(), ...changes } });

  link = (): string => location.href.split("#")[0] + formatHash({ panel: this.panel, params: $state.snapshot(this.params) });

  chooseRun = (id: string): void => this.set({ run: id, ckpt: null }, true);
  chooseInput = (id: string): void => this.set({ in: id }, true);
  chooseStep = (step: number | null): void => this.set({ ckpt: step === null ? null : String(step) });

  /** The input `by` places further on. */
  turn(by: number): void {
    const { items } = this.inputs;
    const at = items.findIndex((item) => item.id === this.input);
    const row = /^data:(\d+)$/.exec(this.input ?? "")?.[1];
    // further down than the list was loaded
    if (at < 0 && row !== undefined) return this.chooseInput(`data:${Math.max(0, Number(row) + by)}`);
    if (items.length) this.chooseInput(items[(at + by + items.length) % items.length].id);
  }

  stepBy(by: number): void {
    const steps = this.run?.checkpoints ?? [];
    const at = this.step === null ? steps.length - 1 : steps.indexOf(this.step);
    const next = Math.min(Math.max(at + by, 0), steps.length - 1);
    if (steps.length) this.chooseStep(next === steps.length - 1 ? null : steps[next]);
  }

  say(text: string): void {
    const id = ++this.#toast;
    this.toasts.push({ id, text });
    setTimeout(() => (this.toasts = this.toasts.filter((toast) => toast.id !== id)), 6000);
  }

  /** For screen readers only: what settled. */
  announce(text: string): void {
    this.said = text;
  }

  /** Called when the server is there again; returns how to stop that. */
  whenBack(again: () => void): () => void {
    this.#back.add(again);
    return () => this.#back.delete(again);
  }

  async upload(files: Iterable<File>): Promise<void> {
    const run = this.run;
    if (!run) return this.say("There is no run to show a file to");
    for (const file of files) {
      const most = this.meta?.uploads.max_bytes ?? Infinity;
      if (file.size > most) {
        this.say(`${file.name} has ${(file.size / 1e6).toFixed(1)} MB; at most ${(most / 1e6).toFixed(0)} MB can be shown`);
        continue;
      }
      this.uploading++;
      try {
        const added = await send(run.id, file);
        const rest = this.inputs.items.filter((item) => item.id !== added.id);
        this.inputs = { run: run.id, total: this.inputs.total + (rest.length === this.inputs.items.length ? 1 : 0), items: [added, ...rest] };
        this.chooseInput(added.id);
      } catch (error) {
        if (!(error instanceof Problem)) throw error;
        const words = [error.detail || error.title, error.hint].filter(Boolean).join("; ");
        this.say(words.startsWith(file.name) ? words : `${file.name}: ${words}`);
      } finally {
        this.uploading--;
      }
    }
  }

  setTheme(theme: Theme): void {
    this.theme = theme;
    store("theme", theme);
  }

  setLetters(on: boolean): void {
    this.letters = on;
    store("letters", on ? "on" : "off");
  }

  async refresh(): Promise<void> {
    const { runs, broken } = await getJSON<{ runs: RunInfo[]; broken: { id: string; why: string }[] }>("runs");
    // equal lists keep their identity, so that nothing on screen is asked again for nothing
    if (JSON.stringify(runs) !== JSON.stringify(this.runs)) this.runs = runs;
    if (JSON.stringify(broken) !== JSON.stringify(this.broken)) this.broken = broken;
    this.loaded = true;
  }

  async more(): Promise<void> {
    const { run, items } = this.inputs;
    const page = await getJSON<{ total: number; items: InputInfo[] }>(`runs/${part(run)}/inputs?offset=${items.length}&limit=${PAGE}`);
    if (this.inputs.run === run) this.inputs = { run, total: page.total, items: [...items, ...page.items] };
  }

  /** Sets the effects going; called once, by the shell, while it is set up. */
  start(): void {
    this.#take(location.hash);
    reach.changed = (there) => {
      if (this.gone && there) for (const again of this.#back) again();
      this.gone = !there;
    };
    const moved = (): void => this.#take(location.hash);
    $effect(() => {
      addEventListener("hashchange", moved);
      return () => removeEventListener("hashchange", moved);
    });
    $effect(() => {
      document.documentElement.dataset.theme = this.theme;
    });
    $effect(() => this.#poll());
    $effect(() => this.#loadInputs(this.runId));
    $effect(() => this.#loadView(this.runId, this.input));
  }

  #shared = (): Params => Object.fromEntries(Object.entries(this.params).filter(([key]) => SHARED.includes(key)));
  #own = (params: Params): Params => Object.fromEntries(Object.entries(params).filter(([key]) => !SHARED.includes(key)));

  #take(hash: string): void {
    const { panel, params } = parseHash(hash);
    if (panel) this.panel = panel;
    // key by key, so that what did not change does not fire
    for (const key of Object.keys(this.params)) if (!(key in params)) delete this.params[key];
    for (const [key, value] of Object.entries(params)) if (this.params[key] !== value) this.params[key] = value;
  }

  #write(push: boolean): void {
    const write = (): void => {
      this.#timer = undefined;
      const hash = formatHash({ panel: this.panel, params: $state.snapshot(this.params) });
      if (hash === location.hash) return;
      if (push) history.pushState(null, "", hash);
      else history.replaceState(null, "", hash);
    };
    if (push) {
      clearTimeout(this.#timer);
      return write();
    }
    // browsers refuse more than about a hundred changes of the address in half a minute
    this.#timer ??= setTimeout(write, 250);
  }

  #poll(): () => void {
    let timer: ReturnType<typeof setTimeout>;
    let ended = false;
    const round = async (): Promise<void> => {
      try {
        if (!document.hidden || !this.loaded) {
          if (!this.meta) this.meta = await getJSON<Meta>("meta");
          await this.refresh();
        }
      } catch (error) {
        if (!(error instanceof Problem && error.status === 0) && !this.loaded) this.say(`The list of runs could not be read: ${String(error)}`);
      }
      const busy = this.runs.some((run) => run.status === "running");
      if (!ended) timer = setTimeout(round, this.gone ? 1500 : busy ? 3000 : 15000);
    };
    void round();
    return () => {
      ended = true;
      clearTimeout(timer);
    };
  }

  #loadInputs(run: string | null): (() => void) | void {
    if (run === null) return;
    const stop = new AbortController();
    const load = async (): Promise<void> => {
      try {
        const page = await getJSON<{ total: number; items: InputInfo[] }>(`runs/${part(run)}/inputs?offset=0&limit=${PAGE}`, stop.signal);
        this.inputs = { run, ...page };
      } catch (error) {
        if (!stop.signal.aborted && error instanceof Problem && error.status !== 0) this.inputs = { run, total: 0, items: [] };
      }
    };
    void load();
    const forget = this.whenBack(load);
    return () => {
      stop.abort();
      forget();
    };
  }

  #loadView(run: string | null, input: string | null): (() => void) | void {
    if (run === null || input === null) return;
    const stop = new AbortController();
    const load = async (): Promise<void> => {
      try {
        const { meta, tensors } = await getArrays<ViewMeta>(`runs/${part(run)}/inputs/${part(input)}/view`, stop.signal);
        this.view = { run, input, frames: tensors.frames, meta };
        this.viewProblem = null;
      } catch (error) {
        if (stop.signal.aborted || !(error instanceof Problem) || error.status === 0) return;
        this.viewProblem = error;
        // an old link, or an upload of an earlier server: show something rather than nothing
        const other = this.inputs.items.find((item) => item.id !== input);
        if (error.status === 404 && other && this.inputs.run === run) {
          this.say(`${input} is not here any more; this is ${other.name}`);
          this.set({ in: null });
        }
      }
    };
    void load();
    const forget = this.whenBack(load);
    return () => {
      stop.abort();
      forget();
    };
  }
}

export const app = new App();
