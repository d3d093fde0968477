/** The ledger as last told, asked for every ten seconds while someone looks. */
import { get } from './http';
import { Asked, every } from './polling.svelte';
import type { Ledger } from './wire';

const EVERY_MS = 10_000;

class LedgerStore {
  readonly asked = new Asked<Ledger>();
  askedAtMs = $state<number | null>(null);

  start(): () => void {
    return every(EVERY_MS, () => {
      const startedAtMs = Date.now();
      void this.asked
        .ask((signal) => get<Ledger>('/ledger', {}, signal))
        .then(() => {
          if (this.asked.problem === null) this.askedAtMs = startedAtMs;
        });
    });
  }
}

export const ledger = new LedgerStore();
