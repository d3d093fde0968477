/** Many small changes become few large ones: the latest of each id, handed on at most once an interval. */
export class Coalescer<Value> {
  #latest = new Map<string, Value>();
  #timer: ReturnType<typeof setTimeout> | null = null;
  #handedOnAtMs = -Infinity;

  constructor(
    private readonly everyMs: number,
    private readonly handOn: (batch: ReadonlyMap<string, Value>) => void,
    private readonly nowMs: () => number = () => Date.now(),
  ) {}

  /** The first change after a quiet interval goes at once, before this returns to the event loop's next turn. */
  put(changes: Iterable<readonly [id: string, value: Value]>): void {
    for (const [id, value] of changes) this.#latest.set(id, value);
    if (this.#latest.size === 0 || this.#timer !== null) return;
    const waitMs = Math.max(0, this.#handedOnAtMs + this.everyMs - this.nowMs());
    this.#timer = setTimeout(() => this.#go(), waitMs);
  }

  /** Forget what waits: whoever listens is gone, or was told everything anew. */
  clear(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#latest.clear();
  }

  #go(): void {
    this.#timer = null;
    this.#handedOnAtMs = this.nowMs();
    const batch = this.#latest;
    this.#latest = new Map();
    this.handOn(batch);
  }
}
