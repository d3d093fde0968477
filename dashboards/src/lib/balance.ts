/** The one equation of the ledger. Pure. */
import type { Ledger } from './wire';

/** Received minus everything that became of it; zero means that nothing is lost. */
export function difference(ledger: Ledger): number {
  const accounted =
    ledger.stored + ledger.duplicate + ledger.dead_lettered + ledger.quarantined + ledger.in_flight;
  return ledger.received - accounted;
}
