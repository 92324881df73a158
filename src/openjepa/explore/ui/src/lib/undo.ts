/** Steps back and forth through the states that were settled on. */
export class Undo<T> {
  #past: T[] = [];
  #future: T[] = [];
  #now: T;
  #same: (a: T, b: T) => boolean;

  constructor(now: T, same: (a: T, b: T) => boolean = Object.is, readonly limit = 100) {
    this.#now = now;
    this.#same = same;
  }

  /** Nothing was pushed yet. */
  get empty(): boolean {
    return !this.#past.length && !this.#future.length;
  }

  /** Begins again here. */
  reset(now: T): void {
    this.#past = [];
    this.#future = [];
    this.#now = now;
  }

  /** A new state; what was undone before it is forgotten. */
  push(state: T): void {
    if (this.#same(state, this.#now)) return;
    this.#past.push(this.#now);
    if (this.#past.length > this.limit) this.#past.shift();
    this.#now = state;
    this.#future = [];
  }

  /** The state before, or null at the beginning. */
  undo(): T | null {
    return this.#step(this.#past, this.#future);
  }

  redo(): T | null {
    return this.#step(this.#future, this.#past);
  }

  #step(from: T[], to: T[]): T | null {
    if (!from.length) return null;
    to.push(this.#now);
    this.#now = from.pop() as T;
    return this.#now;
  }
}
