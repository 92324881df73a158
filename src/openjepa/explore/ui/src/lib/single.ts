/** One job in flight per key; a newer one replaces the one that waits, which then resolves to null. */
export class SingleFlight {
  #busy = new Set<string>();
  #waiting = new Map<string, { start: () => void; drop: () => void }>();

  run<T>(key: string, job: () => Promise<T>): Promise<T | null> {
    return new Promise((resolve, reject) => {
      const start = () => {
        this.#busy.add(key);
        // through then, so that a job that throws at once frees its key, too
        Promise.resolve().then(job).then(resolve, reject).finally(() => this.#next(key));
      };
      if (!this.#busy.has(key)) return start();
      this.#waiting.get(key)?.drop();
      this.#waiting.set(key, { start, drop: () => resolve(null) });
    });
  }

  /** Drops what waits; what is in flight ends by itself. */
  clear(key: string): void {
    this.#waiting.get(key)?.drop();
    this.#waiting.delete(key);
  }

  #next(key: string): void {
    this.#busy.delete(key);
    const next = this.#waiting.get(key);
    this.#waiting.delete(key);
    next?.start();
  }
}
