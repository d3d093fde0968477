/** Something asked for again and again, or once for each change of the question. */
import { Problem } from './http';

/** What is known of an answer: none yet, the last one, and whether the last try failed. */
export class Asked<T> {
  value = $state.raw<T | null>(null);
  problem = $state.raw<Problem | null>(null);
  busy = $state(false);
  #latest: AbortController | null = null;

  /** Ask; an older question still under way is dropped. `fresh` forgets the last answer first. */
  async ask(question: (signal: AbortSignal) => Promise<T>, fresh = false): Promise<void> {
    this.#latest?.abort();
    const mine = (this.#latest = new AbortController());
    if (fresh) this.value = null;
    this.busy = true;
    try {
      const value = await question(mine.signal);
      if (this.#latest !== mine) return;
      this.value = value;
      this.problem = null;
    } catch (error) {
      if (this.#latest !== mine || mine.signal.aborted) return;
      if (!(error instanceof Problem)) throw error;
      this.problem = error;
    } finally {
      if (this.#latest === mine) this.busy = false;
    }
  }
}

/** Do it now and then every `everyMs`; returns how to stop. For `$effect`. */
export function every(everyMs: number, act: () => void): () => void {
  act();
  const timer = setInterval(act, everyMs);
  return () => clearInterval(timer);
}
