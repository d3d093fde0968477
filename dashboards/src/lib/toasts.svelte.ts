/** Short messages about what the operator just tried. Bounded; the oldest goes first. */
import type { Problem } from './http';

const SHOWN_MS = 8000;
const MOST = 4;

export interface Toast {
  id: number;
  problem: Problem;
}

class Toasts {
  list = $state.raw<readonly Toast[]>([]);
  #lastId = 0;

  problem(problem: Problem): void {
    const id = ++this.#lastId;
    this.list = [...this.list, { id, problem }].slice(-MOST);
    setTimeout(() => this.dismiss(id), SHOWN_MS);
  }

  dismiss(id: number): void {
    this.list = this.list.filter((toast) => toast.id !== id);
  }
}

export const toasts = new Toasts();
